"""Frame pairs from videos and folders of frames: datasets, readers, samplers and transforms."""

from .collate import pair_collate
from .labelled_videos import DAVISDataset, JHMDBDataset, LabelledVideoDataset, VIPDataset, YouTubeVOSDataset
from .mask_pairs import MaskPairAugment, MaskPairDataset, PackMaskPair
from .pair_dataset import FramePairDataset, PairDataset, VideoPairDataset
from .readers import ClipReader, FrameFolderReader, UnreadableClip, VideoFileReader
from .samplers import InfinitePairSampler, PairSampler, Visit
from .tracking import CausalPairSampling, OSTrackCrop
from .transforms import (
    LoadFramePairs,
    LoadPicture,
    LoadVideoFrames,
    PackLabelledVideo,
    PackPairs,
    PairCenterCrop,
    PairRandomFlip,
    PairRandomResizedCrop,
    PairResize,
    SampleFramePairs,
)

__all__ = [
    'CausalPairSampling',
    'ClipReader',
    'DAVISDataset',
    'FrameFolderReader',
    'FramePairDataset',
    'InfinitePairSampler',
    'JHMDBDataset',
    'LabelledVideoDataset',
    'LoadFramePairs',
    'LoadPicture',
    'LoadVideoFrames',
    'MaskPairAugment',
    'MaskPairDataset',
    'OSTrackCrop',
    'PackLabelledVideo',
    'PackMaskPair',
    'PackPairs',
    'PairCenterCrop',
    'PairDataset',
    'PairRandomFlip',
    'PairRandomResizedCrop',
    'PairResize',
    'PairSampler',
    'SampleFramePairs',
    'UnreadableClip',
    'VIPDataset',
    'VideoFileReader',
    'VideoPairDataset',
    'Visit',
    'YouTubeVOSDataset',
    'pair_collate',
]
