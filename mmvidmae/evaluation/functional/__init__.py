"""Scores of label propagation as plain functions of arrays; the metrics are built on them."""

from .part_segmentation import SegmentationScores, confusion_matrix, segmentation_scores
from .pose import (
    joint_distances,
    keypoint_accuracy,
    pose_normalizer,
)
from .video_segmentation import (
    SequenceScores,
    TemporalStatistics,
    boundary_accuracy,
    boundary_tolerance,
    disk,
    mask_boundary,
    region_similarity,
    score_sequence,
    summarize_sequences,
    temporal_statistics,
)

__all__ = [
    'SegmentationScores',
    'SequenceScores',
    'TemporalStatistics',
    'boundary_accuracy',
    'boundary_tolerance',
    'confusion_matrix',
    'disk',
    'joint_distances',
    'keypoint_accuracy',
    'mask_boundary',
    'pose_normalizer',
    'region_similarity',
    'score_sequence',
    'segmentation_scores',
    'summarize_sequences',
    'temporal_statistics',
]
