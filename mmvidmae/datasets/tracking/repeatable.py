"""mmtrack's data sets for training, with repeatable items.

mmtrack's own draw frames and crops from the global generators, whose state depends on the worker and on what it loaded
before. Those of the same names here are the same in all else, but with ``PairSampler`` the draws of an item follow from
(seed, epoch, number of the visit).
"""

import mmvidmae.compat.mmtrack.enabled  # noqa: F401 (makes mmtrack importable)

# isort: split
from mmtrack import datasets

from mmvidmae.registry import DATASETS, REPEATABLE_DATASETS

from ..samplers import SeededItems

for _name in REPEATABLE_DATASETS:
    DATASETS.register_module(module=type(_name, (SeededItems, getattr(datasets, _name)), {}))
