from .block_masking import BlockMasking
from .frame_masking import (
    AsymmetricMasking,
    FrameMasking,
    GridMasking,
    JointRandomMasking,
    PerFrameRandomMasking,
    TokenMask,
    count_visible,
    mask_by_noise,
)
from .noise import seeded_uniform

__all__ = [
    'AsymmetricMasking',
    'BlockMasking',
    'FrameMasking',
    'GridMasking',
    'JointRandomMasking',
    'PerFrameRandomMasking',
    'TokenMask',
    'count_visible',
    'mask_by_noise',
    'seeded_uniform',
]
