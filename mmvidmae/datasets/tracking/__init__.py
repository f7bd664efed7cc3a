"""Single-object tracking: training pairs, and sequences without a class in mmtrack.

:mod:`.sequences` and :mod:`.modalities` need mmtrack and are imported when such a dataset is built.
"""

from .annotations import read_boxes, read_flags
from .transforms import CausalPairSampling, ClipSampling, OSTrackCrop

__all__ = ['CausalPairSampling', 'ClipSampling', 'OSTrackCrop', 'read_boxes', 'read_flags']
