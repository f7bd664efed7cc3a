"""Models by name, features and reconstructions in a few lines; importing it lists our models in mmpretrain too."""

from .features import extract_features
from .model_zoo import get_model, list_models
from .reconstructor import PairReconstructor

__all__ = ['PairReconstructor', 'extract_features', 'get_model', 'list_models']
