from .pair_mae_vit import PairMAEViT

__all__ = ['PairMAEViT']
