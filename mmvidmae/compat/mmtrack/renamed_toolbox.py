"""mmtrack imports mmcls, and its PrDiMP configs name ``mmcls.ResNet``.

Why: mmcls became mmpretrain in April 2023, and no mmcls works with mmcv 2.1. The names that mmtrack imports are the
same in mmpretrain.
"""

import importlib
import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from mmengine.registry import root

IMPORTED = ('', '.models', '.models.classifiers', '.evaluation', '.evaluation.metrics')
"""Submodules of mmcls that mmtrack imports (``models/reid``)."""


@contextmanager
def mmcls_is_mmpretrain() -> Iterator[None]:
    """Make ``mmcls`` an alias of mmpretrain: as a module while mmtrack is imported, and permanently as a scope, so
    that ``type='mmcls.ResNet'`` is found."""
    if importlib.util.find_spec('mmcls'):
        yield
        return
    aliases = {f'mmcls{name}': importlib.import_module(f'mmpretrain{name}') for name in IMPORTED}
    sys.modules.update(aliases)
    registries = importlib.import_module('mmpretrain.registry')
    for name in ('MODELS', 'DATASETS', 'TRANSFORMS', 'METRICS', 'HOOKS'):
        getattr(root, name)._children.setdefault('mmcls', getattr(registries, name))
    try:
        yield
    finally:
        for name in aliases:
            del sys.modules[name]
