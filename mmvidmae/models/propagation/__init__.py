"""Frozen evaluation by label propagation: labels of a video's first frame follow the similarity of features."""

from .affinity import top_affinities, transfer_labels
from .context import FeaturePropagation, PropagationContext, propagate_features
from .frozen_backbone import FrozenBackbone
from .label_propagator import LabelPropagator, VideoSequencePreprocessor
from .labels import MaskLabels, PoseLabels
from .protocol import PROTOCOLS, PropagationProtocol, make_protocol

__all__ = [
    'PROTOCOLS',
    'FeaturePropagation',
    'FrozenBackbone',
    'LabelPropagator',
    'MaskLabels',
    'PoseLabels',
    'PropagationContext',
    'PropagationProtocol',
    'VideoSequencePreprocessor',
    'make_protocol',
    'propagate_features',
    'top_affinities',
    'transfer_labels',
]
