"""Bridges over defects of the libraries below us: one file each, with what is wrong, why, and when the file can go.

Importing :mod:`mmvidmae.registry`, as every use of our types does, applies those that a training core needs
(:func:`apply`); the others are called where they are needed. Nothing here turns a check of another library off.
"""

from importlib.util import find_spec


def apply() -> None:
    """Apply the bridges of the training core; any number of calls has the effect of one.

    Without torch or mmengine there is nothing to bridge, and ``mmvidmae.utils.check_env`` must still be able to say so.
    """
    if find_spec('torch') and find_spec('mmengine'):
        from .checkpoint_globals import allow_checkpoint_globals

        allow_checkpoint_globals()


apply()
