"""Transforms of frame pairs, in the order of a pipeline: sample, load, augment, pack."""

from .formatting import PackPairs
from .geometry import PairCenterCrop, PairRandomFlip, PairRandomResizedCrop, PairResize
from .loading import LoadFramePairs, SampleFramePairs

__all__ = [
    'LoadFramePairs',
    'PackPairs',
    'PairCenterCrop',
    'PairRandomFlip',
    'PairRandomResizedCrop',
    'PairResize',
    'SampleFramePairs',
]
