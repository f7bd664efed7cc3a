from .adapted_vit import AdaptedViT, LinearAdapter
from .pair_mae_vit import PairMAEViT
from .recurrent_vit import GatedCrossCore, RecurrentViT
from .register_vit import RegisterViT

__all__ = ['AdaptedViT', 'GatedCrossCore', 'LinearAdapter', 'PairMAEViT', 'RecurrentViT', 'RegisterViT']
