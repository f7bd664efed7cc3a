"""Bridges over defects of other libraries, one per file. Each tells what is wrong, why, and until when it is needed.

Importing :mod:`mmvidmae.registry`, as every use of our types does, applies those of the training core
(:func:`apply`). The others are called where they are needed. No bridge turns off a security check.
"""

from .checkpoint_globals import allow_checkpoint_globals
from .code_in_checkpoints import refuse_code_in_checkpoints
from .config_text import format_configs_once
from .mmcv_lite import ignore_missing_ops
from .mmdet_on_demand import import_mmdet_on_demand
from .multimodal import leave_out_broken_multimodal
from .package_names import find_forks
from .safetensors import load_safetensors_everywhere


def apply() -> None:
    """Apply the bridges of the training core. Repeated calls have no further effect."""
    allow_checkpoint_globals()
    find_forks()
    format_configs_once()
    ignore_missing_ops()
    import_mmdet_on_demand()
    leave_out_broken_multimodal()
    refuse_code_in_checkpoints()
    load_safetensors_everywhere()


apply()
