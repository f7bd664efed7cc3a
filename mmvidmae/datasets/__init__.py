"""Frame pairs from videos and folders of frames: datasets, readers, samplers and transforms."""

from .collate import pair_collate
from .pair_dataset import FramePairDataset, ImageViewDataset, PairDataset, VideoPairDataset
from .readers import (
    ClipReader,
    FrameFolderReader,
    ImageFileReader,
    VideoFileReader,
    VideoReadError,
    VideoWindowReader,
)
from .samplers import InfinitePairSampler, PairSampler, SampleIndex
from .shard_dataset import ShardPairDataset
from .tracking import CausalPairSampling, OSTrackCrop
from .transforms import (
    FrameCutOut,
    LoadFramePairs,
    LoadPicture,
    LoadPicturePair,
    LoadVideoFrames,
    PackPairs,
    PackVideoSequence,
    PairCenterCrop,
    PairRandomFlip,
    PairRandomResizedCrop,
    PairResize,
    PictureViews,
    SampleFrames,
    SandwichViews,
)
from .transforms import SampleFramePairs as SampleFramePairs  # the name for pairs
from .video_sequences import DAVISDataset, JHMDBDataset, VideoSequenceDataset, VIPDataset, YouTubeVOSDataset
from .vos_pairs import PackVOSInputs, VOSPairAugment, VOSPairDataset
from .window_dataset import VideoWindowDataset

__all__ = [
    'CausalPairSampling',
    'ClipReader',
    'DAVISDataset',
    'FrameCutOut',
    'FrameFolderReader',
    'FramePairDataset',
    'ImageFileReader',
    'ImageViewDataset',
    'InfinitePairSampler',
    'JHMDBDataset',
    'LoadFramePairs',
    'LoadPicture',
    'LoadPicturePair',
    'LoadVideoFrames',
    'OSTrackCrop',
    'PackPairs',
    'PackVOSInputs',
    'PackVideoSequence',
    'PairCenterCrop',
    'PairDataset',
    'PairRandomFlip',
    'PairRandomResizedCrop',
    'PairResize',
    'PairSampler',
    'PictureViews',
    'SampleFrames',
    'SampleIndex',
    'SandwichViews',
    'ShardPairDataset',
    'VIPDataset',
    'VOSPairAugment',
    'VOSPairDataset',
    'VideoFileReader',
    'VideoPairDataset',
    'VideoReadError',
    'VideoSequenceDataset',
    'VideoWindowDataset',
    'VideoWindowReader',
    'YouTubeVOSDataset',
    'pair_collate',
]
