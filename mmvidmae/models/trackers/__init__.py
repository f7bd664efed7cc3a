"""Single-object tracking."""

from .bat import BAT
from .candidate_elimination import box_cells, template_cells
from .center_head import CenterHead, CenterMaps
from .drop_track import DropTrack
from .frozen_tracker import FrozenTracker, FrozenTrackState
from .hip_track import HIPTrack, HIPTrackState, MemoryBank
from .historical_prompt import HistoricalPrompt, MaskedResNet
from .matchers import CorrelationMatcher, PropagationMatcher
from .one_stream_vit import OneStreamFeatures, OneStreamViT
from .online_template import IntervalScorePolicy
from .single_object_tracker import CropPreprocessor, SingleObjectTracker
from .template_tracker import TemplateTracker, TrackState
from .two_stream_vit import TwoStreamViT

__all__ = [
    'BAT',
    'CenterHead',
    'CenterMaps',
    'CorrelationMatcher',
    'CropPreprocessor',
    'DropTrack',
    'FrozenTrackState',
    'FrozenTracker',
    'HIPTrack',
    'HIPTrackState',
    'HistoricalPrompt',
    'IntervalScorePolicy',
    'MaskedResNet',
    'MemoryBank',
    'OneStreamFeatures',
    'OneStreamViT',
    'PropagationMatcher',
    'SingleObjectTracker',
    'TemplateTracker',
    'TrackState',
    'TwoStreamViT',
    'box_cells',
    'template_cells',
]
