"""Single-object tracking; :class:`drop_track.DropTrack` itself needs mmtrack and is imported when it is built."""

from .candidate_elimination import box_cells, keep_rate_at, template_cells
from .center_head import CenterHead, CenterMaps
from .one_stream_vit import OneStreamFeatures, OneStreamViT

__all__ = [
    'CenterHead',
    'CenterMaps',
    'OneStreamFeatures',
    'OneStreamViT',
    'box_cells',
    'keep_rate_at',
    'template_cells',
]
