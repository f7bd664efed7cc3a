"""Transforms of frame pairs, in the order of a pipeline (sample, load, augment, pack), and of annotated videos."""

from .formatting import PackPairs
from .geometry import FrameCutOut, PairCenterCrop, PairRandomFlip, PairRandomResizedCrop, PairResize
from .loading import LoadFramePairs, LoadPicture, LoadPicturePair, SampleFrames
from .loading import SampleFramePairs as SampleFramePairs  # the name for pairs
from .picture_views import PictureViews
from .sandwich_views import SandwichViews
from .video_sequence import LoadVideoFrames, PackVideoSequence

__all__ = [
    'FrameCutOut',
    'LoadFramePairs',
    'LoadPicture',
    'LoadPicturePair',
    'LoadVideoFrames',
    'PackPairs',
    'PackVideoSequence',
    'PairCenterCrop',
    'PairRandomFlip',
    'PairRandomResizedCrop',
    'PairResize',
    'PictureViews',
    'SampleFrames',
    'SandwichViews',
]
