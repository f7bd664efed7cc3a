"""mmdet is imported when it is needed.

What: where mmdet is installed, every program that imports mmpretrain's models takes two more CPU seconds to start.

Why: mmpretrain (1.2.0, ``models/utils/res_layer_extra_norm.py``) imports all of mmdet's models, and with them pandas,
seaborn and scikit-learn, to register one class there: the head ``ResLayerExtraNorm`` of MoCo's detectors.

Until: mmpretrain imports mmdet where it is used.
"""

import importlib
import sys
from importlib.util import find_spec
from types import ModuleType
from typing import Any

CLASS = 'ResLayerExtraNorm'
MODULE = 'mmpretrain.models.utils.res_layer_extra_norm'


def import_mmdet_on_demand() -> None:
    """Register a function under the name of the class in mmdet, which imports the class and builds it. It does nothing
    if mmpretrain's models are imported already."""
    if MODULE in sys.modules or find_spec('mmdet') is None:
        return
    try:
        registry = importlib.import_module('mmdet.registry').MODELS
    except (AssertionError, ImportError):  # a broken mmdet: mmpretrain meets it as it would without this bridge
        return

    def build(*args: Any, **kwargs: Any) -> Any:
        if sys.modules.get(MODULE) is stand_in:
            registry.module_dict.pop(CLASS)
            del sys.modules[MODULE]
        return getattr(importlib.import_module(MODULE), CLASS)(*args, **kwargs)

    stand_in = ModuleType(MODULE)
    setattr(stand_in, CLASS, build)
    sys.modules[MODULE] = stand_in
    registry.register_module(name=CLASS, module=build)
