from .adapted_vit import AdaptedViT, LinearAdapter
from .pair_mae_vit import PairMAEViT
from .pretrained import PretrainedEncoder, from_pretrained
from .recurrent_vit import GatedCrossCore, RecurrentViT
from .register_vit import RegisterViT
from .timm_backbone import TimmBackbone

__all__ = [
    'AdaptedViT',
    'GatedCrossCore',
    'LinearAdapter',
    'PairMAEViT',
    'PretrainedEncoder',
    'RecurrentViT',
    'RegisterViT',
    'TimmBackbone',
    'from_pretrained',
]
