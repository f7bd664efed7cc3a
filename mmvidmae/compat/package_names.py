"""Configs of a toolbox whose distribution has another name, such as a fork's: ``_base_ = 'mmseg::...'``.

What: with ``onedl-mmsegmentation``, such a config ends with "mmsegmentation is not installed".

Why: MMEngine (0.10.7, and OneDL's 0.10.12; ``config/utils.py``) looks for a toolbox by the name of its distribution,
then for a module of that name. Its table ``MODULE2PACKAGE`` has the names of the originals. Most of them are the names
of their modules, but mmseg is ``mmsegmentation`` and mmaction is ``mmaction2``.

Until: MMEngine asks for the module.
"""

from importlib.metadata import PackageNotFoundError, distribution
from importlib.util import find_spec

from mmengine.config.utils import MODULE2PACKAGE


def find_forks() -> None:
    """Let MMEngine look for the module if the distribution is missing. Repeated calls have no further effect."""
    for module, package in MODULE2PACKAGE.items():
        if module == package:
            continue
        try:
            distribution(package)
        except PackageNotFoundError:
            if find_spec(module):
                MODULE2PACKAGE[module] = module
