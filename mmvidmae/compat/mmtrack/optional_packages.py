"""mmtrack's single-object tracking imports packages that only multi-object tracking uses.

Why: its registries have no locations, so the first look-up imports everything. Modules of ``evaluation``, ``models``,
``visualization`` and ``utils`` import ``trackeval``, ``motmetrics``, ``lap``, ``seaborn``, ``sklearn`` and ``tabulate``
at their top. A missing one breaks single-object tracking, too.
"""

import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

PACKAGES = {
    'lap': (),
    'motmetrics': ('motmetrics.lap',),
    'seaborn': (),
    'sklearn': ('sklearn.gaussian_process', 'sklearn.gaussian_process.kernels'),
    'tabulate': (),
    'trackeval': (),
}


class _Missing(ModuleType):
    """Module with every name. Calling one raises an ImportError."""

    __path__ = ()

    def __getattr__(self, name: str) -> type:
        if name.startswith('__'):
            raise AttributeError(name)
        package = self.__name__.partition('.')[0]

        def refuse(*_, **__):
            raise ImportError(
                f'{package} is not installed: python -m mmvidmae.utils.check_env prints the pip line for tracking'
            )

        return type(name, (), {'__init__': refuse, '__module__': self.__name__, '__getattr__': refuse})


@contextmanager
def stand_ins() -> Iterator[None]:
    """Replace missing packages for mmtrack. For other code they stay missing."""
    missing = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    names = [name for package in missing for name in (package, *PACKAGES[package])]
    sys.modules.update({name: _Missing(name) for name in names})
    try:
        yield
    finally:
        for name in names:
            del sys.modules[name]
