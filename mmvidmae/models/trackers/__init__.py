"""Single-object tracking."""

from .bat import BAT
from .candidate_elimination import box_cells, template_cells
from .center_head import CenterHead, CenterMaps
from .drop_track import CropPreprocessor, DropTrack, TrackState
from .hip_track import HIPTrack, HIPTrackState, MemoryBank
from .historical_prompt import HistoricalPrompt, MaskedResNet
from .one_stream_vit import OneStreamFeatures, OneStreamViT
from .two_stream_vit import TwoStreamViT

__all__ = [
    'BAT',
    'CenterHead',
    'CenterMaps',
    'CropPreprocessor',
    'DropTrack',
    'HIPTrack',
    'HIPTrackState',
    'HistoricalPrompt',
    'MaskedResNet',
    'MemoryBank',
    'OneStreamFeatures',
    'OneStreamViT',
    'TrackState',
    'TwoStreamViT',
    'box_cells',
    'template_cells',
]
