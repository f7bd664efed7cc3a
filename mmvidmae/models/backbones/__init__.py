from .pair_mae_vit import PairMAEViT
from .timm_backbone import TimmBackbone

__all__ = ['PairMAEViT', 'TimmBackbone']
