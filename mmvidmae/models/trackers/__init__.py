"""Single-object tracking."""

from .candidate_elimination import box_cells, template_cells
from .center_head import CenterHead, CenterMaps
from .drop_track import DropTrack, TrackState
from .frozen_tracker import FrozenTracker, FrozenTrackState
from .matchers import CorrelationMatcher, PropagationMatcher
from .one_stream_vit import OneStreamFeatures, OneStreamViT
from .single_object_tracker import CropPreprocessor, SingleObjectTracker

__all__ = [
    'CenterHead',
    'CenterMaps',
    'CorrelationMatcher',
    'CropPreprocessor',
    'DropTrack',
    'FrozenTrackState',
    'FrozenTracker',
    'OneStreamFeatures',
    'OneStreamViT',
    'PropagationMatcher',
    'SingleObjectTracker',
    'TrackState',
    'box_cells',
    'template_cells',
]
