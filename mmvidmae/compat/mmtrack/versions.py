"""mmtrack refuses mmcv >= 2.0.0 and mmdet >= 3.0.0.

Why: ``mmtrack/__init__.py`` asserts upper bounds, which were the next releases at its time. Both packages still have
what mmtrack uses, except for what the other files of this folder supply.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import mmcv
import mmdet


@contextmanager
def accepted_versions() -> Iterator[None]:
    """Show accepted versions to mmtrack during its import."""
    packages = {mmcv: '2.0.0rc4', mmdet: '3.0.0rc6'}
    true = {package: package.__version__ for package in packages}
    try:
        for package, version in packages.items():
            package.__version__ = version
        yield
    finally:
        for package, version in true.items():
            package.__version__ = version
