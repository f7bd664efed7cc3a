"""Python API: models by name, encoders from folders; inferencers for features, reconstruction, tracking and video
segmentation.

Importing it also registers our models in mmpretrain's model list.
"""

from mmvidmae.models.backbones import from_pretrained

from .attention import AttentionShare, DecoderAttention, attention_share, decoder_attention
from .correspondence import (
    KnownMotion,
    MatchAccuracy,
    PointMatches,
    attention_accuracy,
    feature_accuracy,
    match_point,
    warp_frames,
)
from .features import FeatureInferencer
from .model_zoo import get_model, list_models
from .pairs import PairBatches, open_clip
from .reconstruction import ReconstructionInferencer
from .tracking import TrackingInferencer
from .video_segmentation import VideoSegmentationInferencer
from .videos import Interrupted

__all__ = [
    'AttentionShare',
    'DecoderAttention',
    'FeatureInferencer',
    'Interrupted',
    'KnownMotion',
    'MatchAccuracy',
    'PairBatches',
    'PointMatches',
    'ReconstructionInferencer',
    'TrackingInferencer',
    'VideoSegmentationInferencer',
    'attention_accuracy',
    'attention_share',
    'decoder_attention',
    'feature_accuracy',
    'from_pretrained',
    'get_model',
    'list_models',
    'match_point',
    'open_clip',
    'warp_frames',
]
