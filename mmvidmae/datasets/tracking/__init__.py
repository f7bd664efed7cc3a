"""Single-object tracking: pairs for training; sequences that mmtrack has no class for (:mod:`.sequences`, imported with
mmtrack when one is built)."""

from .annotations import read_boxes, read_flags
from .transforms import CausalPairSampling, OSTrackCrop

__all__ = ['CausalPairSampling', 'OSTrackCrop', 'read_boxes', 'read_flags']
