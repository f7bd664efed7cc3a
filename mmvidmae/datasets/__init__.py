"""Frame pairs from videos and folders of frames: datasets, readers, samplers and transforms."""

from .collate import pair_collate
from .pair_dataset import FramePairDataset, PairDataset, VideoPairDataset
from .readers import ClipReader, DecordReader, FrameFolderReader, UnreadableClip
from .samplers import PairSampler, Visit
from .transforms import (
    LoadFramePairs,
    PackPairs,
    PairCenterCrop,
    PairRandomFlip,
    PairRandomResizedCrop,
    PairResize,
    SampleFramePairs,
)

__all__ = [
    'ClipReader',
    'DecordReader',
    'FrameFolderReader',
    'FramePairDataset',
    'LoadFramePairs',
    'PackPairs',
    'PairCenterCrop',
    'PairDataset',
    'PairRandomFlip',
    'PairRandomResizedCrop',
    'PairResize',
    'PairSampler',
    'SampleFramePairs',
    'UnreadableClip',
    'VideoPairDataset',
    'Visit',
    'pair_collate',
]
