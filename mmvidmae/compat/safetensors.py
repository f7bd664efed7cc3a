"""Weights in ``.safetensors`` wherever MMEngine loads a checkpoint.

What: ``load_from``, ``init_cfg=dict(type='Pretrained')`` and the tools of all toolboxes fail at such a file.

Why: MMEngine (0.10.7, ``runner/checkpoint.py``) passes every local file to ``torch.load``. It chooses a loader by the
prefix of a name and not by its suffix. The loader of local files is therefore replaced by one that reads this format
and passes other files on.

Until: MMEngine reads the format.
"""

import os
from collections.abc import Callable

import torch
from mmengine.runner import checkpoint as mmengine_checkpoint

SUFFIX = '.safetensors'


def read_safetensors(path: str | os.PathLike, device: str | torch.device = 'cpu') -> dict:
    """Read a ``.safetensors`` file.

    Returns:
        ``state_dict``, the tensors by name, and ``meta``, the metadata strings of the file.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is damaged.
    """
    from safetensors import SafetensorError, safe_open

    if not os.path.isfile(path):
        raise FileNotFoundError(f'{path} can not be found.')
    try:
        with safe_open(path, 'pt', device=str(device)) as file:
            names = file.keys()
            return dict(state_dict={name: file.get_tensor(name) for name in names}, meta=file.metadata() or {})
    except SafetensorError as error:
        raise ValueError(f'{path} cannot be read as {SUFFIX}: {error}') from error


def load_from_local(filename: str, map_location: str | torch.device | Callable | None) -> dict:
    """MMEngine's loader of local files."""
    if not str(filename).lower().endswith(SUFFIX):
        return mmengine_checkpoint.load_from_local(filename, map_location)
    device = map_location if isinstance(map_location, str | torch.device) else 'cpu'
    return read_safetensors(os.path.expanduser(filename), device)


def load_safetensors_everywhere() -> None:
    """Register :func:`load_from_local` with MMEngine. Repeated calls have no further effect."""
    mmengine_checkpoint.CheckpointLoader.register_scheme('', loader=load_from_local, force=True)
