"""Weights in ``.safetensors`` wherever MMEngine loads a checkpoint.

What: ``load_from``, ``init_cfg=dict(type='Pretrained')`` and the tools of all toolboxes fail at such a file.

Why: MMEngine (0.10.7, ``runner/checkpoint.py``) hands every local file to ``torch.load``. It chooses a loader by the
beginning of a name and not by its suffix, so the loader of all local files is replaced by one that knows this format
and hands the others on.

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
        ``state_dict``, the tensors by name, and ``meta``, the strings that the file notes.

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
    """What MMEngine calls for a local file."""
    if not str(filename).lower().endswith(SUFFIX):
        return mmengine_checkpoint.load_from_local(filename, map_location)
    device = map_location if isinstance(map_location, str | torch.device) else 'cpu'
    return read_safetensors(os.path.expanduser(filename), device)


def load_safetensors_everywhere() -> None:
    """Register :func:`load_from_local` with MMEngine; any number of calls has the effect of one."""
    mmengine_checkpoint.CheckpointLoader.register_scheme('', loader=load_from_local, force=True)
