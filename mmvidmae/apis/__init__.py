"""Models by name, features and reconstructions in a few lines; importing it lists our models in mmpretrain too."""

from .attention import AttentionMass, attention_mass
from .features import extract_features
from .model_zoo import get_model, list_models
from .pairs import PairBatches, open_clip
from .reconstructor import PairReconstructor
from .tracker import TrackedFrame, Tracker

__all__ = [
    'AttentionMass',
    'PairBatches',
    'PairReconstructor',
    'TrackedFrame',
    'Tracker',
    'attention_mass',
    'extract_features',
    'get_model',
    'list_models',
    'open_clip',
]
