"""The explorer of clips and models (``tools/explore.py``): its parts without the page, and the page.

Nothing but :mod:`.page` imports Gradio.
"""

from .costs import Costs, Step
from .encoders import DINOV2, SIAMMAE, FrameFeatures, LoadedModel, ModelSource, parse_models, small_models
from .explorer import Explorer, HiddenPatches
from .prompts import Region, format_regions, outlines_of, parse_regions
from .propagation import CorrectedPropagation

__all__ = [
    'DINOV2',
    'SIAMMAE',
    'CorrectedPropagation',
    'Costs',
    'Explorer',
    'FrameFeatures',
    'HiddenPatches',
    'LoadedModel',
    'ModelSource',
    'Region',
    'Step',
    'format_regions',
    'outlines_of',
    'parse_models',
    'parse_regions',
    'small_models',
]
