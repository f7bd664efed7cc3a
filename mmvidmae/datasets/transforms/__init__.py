"""Transforms of frame pairs, in the order of a pipeline (sample, load, augment, pack), and of labelled videos."""

from .formatting import PackPairs
from .geometry import PairCenterCrop, PairRandomFlip, PairRandomResizedCrop, PairResize
from .labelled_video import LoadVideoFrames, PackLabelledVideo
from .loading import LoadFramePairs, LoadPicture, SampleFramePairs

__all__ = [
    'LoadFramePairs',
    'LoadPicture',
    'LoadVideoFrames',
    'PackLabelledVideo',
    'PackPairs',
    'PairCenterCrop',
    'PairRandomFlip',
    'PairRandomResizedCrop',
    'PairResize',
    'SampleFramePairs',
]
