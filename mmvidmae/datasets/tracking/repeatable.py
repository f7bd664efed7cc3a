"""mmtrack's training datasets with reproducible items.

mmtrack draws frames and crops from the global generators, whose state depends on the worker and on earlier items. The
datasets here have the same names and differ in one point: with ``PairSampler``, the draws of an item follow from
(seed, epoch, sample number).
"""

import mmvidmae.compat.mmtrack.enabled  # noqa: F401 (makes mmtrack importable)

# isort: split
from mmtrack import datasets

from mmvidmae.registry import DATASETS, REPEATABLE_DATASETS

from ..samplers import SeededItems

for _name in REPEATABLE_DATASETS:
    DATASETS.register_module(module=type(_name, (SeededItems, getattr(datasets, _name)), {}))
