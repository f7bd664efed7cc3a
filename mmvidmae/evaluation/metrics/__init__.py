from .part_segmentation import PartSegmentationMetric
from .pose import PoseMetric
from .reconstruction import ReconstructionMetric
from .tracking import TrackingMetric
from .video_segmentation import VideoSegmentationMetric

__all__ = ['PartSegmentationMetric', 'PoseMetric', 'ReconstructionMetric', 'TrackingMetric', 'VideoSegmentationMetric']
