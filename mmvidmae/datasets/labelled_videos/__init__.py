"""DAVIS, YouTube-VOS, VIP and JHMDB: whole videos with labels, for frozen evaluation."""

from .base import LabelledVideoDataset, MaskVideoDataset
from .davis import DAVISDataset
from .jhmdb import JHMDBDataset
from .vip import VIPDataset
from .youtube_vos import YouTubeVOSDataset

__all__ = [
    'DAVISDataset',
    'JHMDBDataset',
    'LabelledVideoDataset',
    'MaskVideoDataset',
    'VIPDataset',
    'YouTubeVOSDataset',
]
