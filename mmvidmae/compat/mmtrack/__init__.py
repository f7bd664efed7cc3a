"""mmtrack 1.0.0rc1 on mmcv 2.1, mmdet 3.3, mmpretrain and any NumPy.

What: ``import mmtrack`` ends with ``AssertionError: MMCV==2.1.0 is used but incompatible``, and more
errors follow, one file each in this folder (mmtracking issues 871, 897, 922, 924, 931).

Why: mmtrack's last release (October 2022) is older than mmcv 2.0 and mmdet 3.0.

Until: mmtrack imports by itself. Such a version is left unchanged.
"""

import importlib
import logging
import os
import sys
from contextlib import ExitStack

from mmengine.logging import print_log

from .detr_transformer import old_transformer
from .numpy_names import restore_numpy_names
from .optional_packages import stand_ins
from .prroi_pool import cpu_prroi_pool
from .renamed_toolbox import mmcls_is_mmpretrain
from .versions import accepted_versions
from .vot_regions import vot_regions

SWITCH = 'MMVIDMAE_MMTRACK_BRIDGE'
"""Environment variable; ``0`` turns the bridge off."""

MODULES = ('structures', 'utils', 'datasets', 'models', 'evaluation', 'visualization', 'apis', 'engine', 'testing')


def enable() -> None:
    """Make ``import mmtrack`` and all its modules work. Repeated calls have no further effect.

    Changes of other packages last only during the import of mmtrack. Afterwards, versions and contents of mmcv and
    mmdet are the original ones. Packages that only multi-object tracking needs may be missing. A warning tells once
    that the bridge is in use.

    Raises:
        ImportError: If mmtrack or a package that it requires is missing. The message names the pip line.
    """
    if 'mmtrack' in sys.modules or os.environ.get(SWITCH) == '0':
        return
    try:
        importlib.import_module('mmtrack')
    except AssertionError:  # it refuses these versions
        pass
    except ModuleNotFoundError as error:
        raise ImportError(
            f'tracking needs {error.name}: python -m mmvidmae.utils.check_env prints the pip line for what is missing'
        ) from error
    else:
        return
    with ExitStack() as stack:
        for bridge in (accepted_versions, old_transformer, mmcls_is_mmpretrain, cpu_prroi_pool, stand_ins, vot_regions):
            stack.enter_context(bridge())
        for name in MODULES:
            try:
                importlib.import_module(f'mmtrack.{name}')
            except ModuleNotFoundError as error:
                if error.name != f'mmtrack.{name}':  # a folder that this release does not have
                    raise
    restore_numpy_names()
    print_log(
        f'mmtrack runs through the bridge of mmvidmae.compat.mmtrack, which it was not tested with by its authors; '
        f'{SWITCH}=0 turns it off',
        'current',
        logging.WARNING,
    )
