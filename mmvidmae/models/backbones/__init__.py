from .pair_mae_vit import PairMAEViT
from .register_vit import RegisterViT

__all__ = ['PairMAEViT', 'RegisterViT']
