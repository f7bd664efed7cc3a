"""Reading checkpoints without running anything in them."""

from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

import mmvidmae.registry  # noqa: F401 (lets MMEngine's own checkpoints through torch's check)


def load_weights(path: str | Path) -> tuple[dict[str, Tensor], dict]:
    """Read a checkpoint of ours, on the CPU.

    Args:
        path: A ``.safetensors`` file, or one of ``torch.save``, by MMEngine or by ``tools/publish_model.py``.

    Returns:
        The parameters by name, and the checkpoint's ``meta`` (empty where it has none).

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is damaged, holds no state dict, or holds anything but plain data. Then
            ``tools/model_converters/convert.py`` may help, which reads the formats of other code.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f'{path}: there is no such checkpoint')
    try:
        if path.suffix == '.safetensors':
            return load_file(path), {}
        checkpoint = torch.load(path, map_location='cpu', weights_only=True)
    except Exception as error:  # on a damaged file the unpickler may raise anything
        reason = str(error).partition('\n')[0]
        raise ValueError(f'{path}: not a whole checkpoint of plain tensors ({reason})') from error
    state_dict = checkpoint.get('state_dict') if isinstance(checkpoint, dict) else None
    if not isinstance(state_dict, dict) or not all(isinstance(value, Tensor) for value in state_dict.values()):
        raise ValueError(f'{path}: expected a dict with the parameters under state_dict, as MMEngine writes it')
    return state_dict, checkpoint.get('meta') or {}
