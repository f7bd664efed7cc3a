"""Enables the bridge at the first ``import mmtrack`` of any program, such as mmtrack's own tools under ``mim``.

``python -m mmvidmae.compat.mmtrack install`` copies it into site-packages. A line in a ``.pth`` file imports it at each
start of Python. It therefore imports almost nothing, and does nothing until mmtrack is imported.
"""

import importlib.machinery
import sys


class _BridgeFinder:
    """Finds mmtrack once, by enabling the bridge."""

    def find_spec(self, fullname, path=None, target=None):
        if fullname != 'mmtrack':
            return None
        sys.meta_path.remove(self)
        try:
            from mmvidmae.compat.mmtrack import enable
        except ImportError:  # this package is not installed: mmtrack is left unchanged
            return None
        enable()
        module = sys.modules.pop('mmtrack', None)  # otherwise the module would be executed again
        return module and importlib.machinery.ModuleSpec('mmtrack', _Imported(module), is_package=True)


class _Imported:
    """Loader that returns an imported module unchanged."""

    def __init__(self, module) -> None:
        self.module, self.spec = module, module.__spec__

    def create_module(self, spec):
        return self.module

    def exec_module(self, module) -> None:
        module.__spec__ = self.spec


if 'mmtrack' not in sys.modules:
    sys.meta_path.insert(0, _BridgeFinder())
