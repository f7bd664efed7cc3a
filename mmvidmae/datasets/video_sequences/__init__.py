"""DAVIS, YouTube-VOS, VIP and JHMDB: whole annotated videos for frozen evaluation."""

from .base import MaskVideoDataset, VideoSequenceDataset
from .davis import DAVISDataset
from .jhmdb import JHMDBDataset
from .vip import VIPDataset
from .youtube_vos import YouTubeVOSDataset

__all__ = [
    'DAVISDataset',
    'JHMDBDataset',
    'MaskVideoDataset',
    'VIPDataset',
    'VideoSequenceDataset',
    'YouTubeVOSDataset',
]
