"""Bridges over defects of the libraries below us: one file each, with what is wrong, why, and when the file can go.

Importing :mod:`mmvidmae.registry`, as every use of our types does, applies those that a training core needs
(:func:`apply`); the others are called where they are needed. Nothing here turns a check of another library off.
"""

from .checkpoint_globals import allow_checkpoint_globals
from .code_in_checkpoints import refuse_code_in_checkpoints
from .mmcv_lite import ignore_missing_ops
from .multimodal import leave_out_broken_multimodal
from .package_names import find_forks
from .safetensors import load_safetensors_everywhere


def apply() -> None:
    """Apply the bridges of the training core; any number of calls has the effect of one."""
    allow_checkpoint_globals()
    find_forks()
    ignore_missing_ops()
    leave_out_broken_multimodal()
    refuse_code_in_checkpoints()
    load_safetensors_everywhere()


apply()
