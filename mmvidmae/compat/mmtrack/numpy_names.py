"""mmtrack uses ``np.bool``, ``np.float`` and ``np.int``.

Why: NumPy 1.24 removed these aliases of Python's types (``np.bool`` is back in 2.0 as NumPy's own type). ``np.bool`` is
used in ``LoadTrackAnnotations``, which is in every tracking pipeline, the others in video instance segmentation and in
mmtrack's tests.
"""

import sys
from types import ModuleType
from typing import Any

import numpy

OLD_NAMES = dict(bool=bool, float=float, int=int)
USERS = ('mmtrack.datasets.transforms.loading', 'mmtrack.evaluation.functional.ytviseval', 'mmtrack.testing._utils')


class _NumPy(ModuleType):
    """NumPy with the old names, for single modules. NumPy itself does not change."""

    def __getattr__(self, name: str) -> Any:
        return OLD_NAMES[name] if name in OLD_NAMES else getattr(numpy, name)


def restore_numpy_names() -> None:
    """Give mmtrack's users of old names a NumPy that has them."""
    for name in USERS:
        module = sys.modules.get(name)
        if module is not None:
            module.np = _NumPy('numpy')
