"""Frame identities under mmseg's layer-wise learning-rate decay.

What: ``LearningRateDecayOptimizerConstructor`` and its old form train ``backbone.frame_embed`` at the rate of heads.

Why: mmseg (1.2.2, ``engine/optimizers/layer_decay_optimizer_constructor.py``) finds the depth of a parameter in a list
of names of its own vision transformers, and takes unknown names for heads. mmpretrain asks the
backbone (``get_layer_depth``).

Until: mmseg asks the backbone, too.
"""

import sys
from functools import wraps
from importlib import import_module

FRAME_IDENTITIES = 'backbone.frame_embed'


def know_frame_identities() -> None:
    """Give frame identities depth 0 in mmseg's layer-wise decay.

    Does nothing in a process that has not imported mmseg: then no model of mmseg is being built. Repeated
    calls have no further effect.
    """
    if 'mmseg' not in sys.modules:
        return
    try:
        constructors = import_module('mmseg.engine.optimizers.layer_decay_optimizer_constructor')
    except ImportError:  # an mmseg that lacks a requirement of its engine has no such optimizer
        return
    original = constructors.get_layer_id_for_vit
    if hasattr(original, '__wrapped__'):
        return

    @wraps(original)
    def get_layer_id_for_vit(var_name: str, max_layer_id: int) -> int:
        return 0 if var_name == FRAME_IDENTITIES else original(var_name, max_layer_id)

    constructors.get_layer_id_for_vit = get_layer_id_for_vit
