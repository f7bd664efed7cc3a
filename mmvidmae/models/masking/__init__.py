from .noise import seeded_uniform
from .pair_masking import (
    AsymmetricMasking,
    GridMasking,
    JointRandomMasking,
    PairMasking,
    PerFrameRandomMasking,
    TokenMask,
    count_visible,
    mask_by_noise,
)

__all__ = [
    'AsymmetricMasking',
    'GridMasking',
    'JointRandomMasking',
    'PairMasking',
    'PerFrameRandomMasking',
    'TokenMask',
    'count_visible',
    'mask_by_noise',
    'seeded_uniform',
]
