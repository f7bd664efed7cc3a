from .part_segmentation import PartSegmentationMetric
from .pose import PoseMetric
from .reconstruction import ReconstructionMetric
from .tracking import TrackingMetric
from .video_segmentation import VideoSegmentationMetric
from .vot import VOTMetric

__all__ = [
    'PartSegmentationMetric',
    'PoseMetric',
    'ReconstructionMetric',
    'TrackingMetric',
    'VOTMetric',
    'VideoSegmentationMetric',
]
