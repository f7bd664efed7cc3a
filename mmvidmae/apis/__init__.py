"""Models by name, features and reconstructions in a few lines; importing it lists our models in mmpretrain too."""

from .attention import AttentionShare, attention_share
from .correspondence import KnownMotion, MatchAccuracy, attention_accuracy, feature_accuracy, warp_frames
from .features import extract_features, feature_batches
from .model_zoo import get_model, list_models
from .pairs import PairBatches, open_clip
from .reconstructor import PairReconstructor
from .segmenter import VideoSegmenter
from .tracker import TrackedFrame, Tracker

__all__ = [
    'AttentionShare',
    'KnownMotion',
    'MatchAccuracy',
    'PairBatches',
    'PairReconstructor',
    'TrackedFrame',
    'Tracker',
    'VideoSegmenter',
    'attention_accuracy',
    'attention_share',
    'extract_features',
    'feature_accuracy',
    'feature_batches',
    'get_model',
    'list_models',
    'open_clip',
    'warp_frames',
]
