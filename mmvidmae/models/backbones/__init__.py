from .adapted_vit import AdaptedViT, LinearAdapter
from .pair_mae_vit import PairMAEViT
from .recurrent_vit import GatedCrossCore, RecurrentViT

__all__ = ['AdaptedViT', 'GatedCrossCore', 'LinearAdapter', 'PairMAEViT', 'RecurrentViT']
