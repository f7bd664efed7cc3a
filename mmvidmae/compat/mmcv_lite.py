"""No needless warning with mmcv-lite.

What: importing mmpretrain's models beside mmcv-lite warns that ``MultiScaleDeformableAttention`` cannot be imported.

Why: ``mmcv/cnn/bricks/transformer.py`` (2.1.0) imports a compiled op that mmcv-lite does not have and that
pre-training does not use. The warning tells every user of every tool to install something that is not needed.

Until: mmcv imports the op where it is used.
"""

import warnings


def ignore_missing_ops() -> None:
    """Ignore that one warning; all others stay."""
    warnings.filterwarnings('ignore', message='Fail to import ``MultiScaleDeformableAttention``')
