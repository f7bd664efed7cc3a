"""Models of the model index by name, also for mmpretrain's ``get_model`` and ``list_models``."""

import warnings
from fnmatch import filter as matching
from os import PathLike
from pathlib import Path

import mmpretrain.apis
import torch
from mmengine.config import Config
from mmengine.device import get_device
from modelindex.load_model_index import load as load_index
from torch import nn

from mmvidmae.converters import read_state_dict
from mmvidmae.engine.check_config import check_config
from mmvidmae.models.selfsup import PairMAE
from mmvidmae.utils.weights import load_whole

ENCODER = 'backbone.'
"""Prefix of the encoder's parameter names."""


SHIPPED = {'siammae_vit-tiny6-p8_1xb8-coslr-20e_clips': 'weights/siammae_small-bb628bb5.safetensors'}
"""Models whose weights are in the repository: name, file beside the config."""


def _find_configs() -> dict[str, Path]:
    """Find the configs of the model index by name.

    The index is in ``.mim`` inside an installed package (as links in an editable install), and next to the package in a
    bare checkout.
    """
    package = Path(__file__).resolve().parents[1]
    root = package / '.mim' if (package / '.mim' / 'model-index.yml').is_file() else package.parent
    index = load_index(str(root / 'model-index.yml'))
    if not mmpretrain.apis.ModelHub.has(index.models[0].name):  # already there after a reload of this module
        mmpretrain.apis.ModelHub.register_model_index(root / 'model-index.yml', config_prefix=root)
    return {model.name: root / model.config for model in index.models}


_CONFIGS = _find_configs()


def list_models(pattern: str | None = None) -> list[str]:
    """List the names of our models, sorted.

    Args:
        pattern: Beginning of the names, with shell wildcards, such as ``'dropmae*k700'``; None for all.
    """
    return sorted(matching(_CONFIGS, f'{pattern or ""}*'))


def get_config(name_or_config: str | PathLike | Config) -> Config:
    """Read the config of a model. The argument and errors are those of :func:`get_model`."""
    if isinstance(name_or_config, str):
        name_or_config = _CONFIGS.get(name_or_config, name_or_config)
    return name_or_config if isinstance(name_or_config, Config) else Config.fromfile(name_or_config)


def get_model(
    name_or_config: str | PathLike | Config,
    checkpoint: str | PathLike | None = None,
    device: str | torch.device | None = None,
) -> nn.Module:
    """Build a model in evaluation mode and load its weights.

    Args:
        name_or_config: A name from :func:`list_models`, a config file, or a config.
        checkpoint: Weights of the model: a training checkpoint, or a ``.pth`` or ``.safetensors`` file of
            ``tools/publish_model.py``. Parameters that the model does not have are ignored. If the checkpoint has only
            the encoder, the decoder of a pre-training model stays untrained, with a warning; for other models this is
            an error. Without a checkpoint the model is untrained.
        device: Device of the model; by default the GPU or another accelerator, if available.

    Returns:
        The model, as from mmpretrain's ``get_model``.

    Raises:
        FileNotFoundError: If the config does not exist.
        ValueError: If no model has this name, the config has misspelled names (see :func:`check_config`), or the
            checkpoint is missing, unreadable or incomplete.
    """
    config = get_config(name_or_config)
    if not (config.get('test_dataloader') or {}).get('dataset'):  # mmpretrain searches it for class names
        config = Config({key: value for key, value in config.items() if key != 'test_dataloader'})
    check_config(config, ['model'], 'mmpretrain')  # scope in which mmpretrain builds the model
    model = mmpretrain.apis.get_model(config)
    if checkpoint is not None:
        load_weights(model, checkpoint)
    return model.to(get_device() if device is None else device)


def shipped_weights(name: str) -> Path | None:
    """Weights of a model of the model index that are in the repository, or None. Wheels do not contain them."""
    path = _CONFIGS[name].parent / SHIPPED[name] if name in SHIPPED else None
    return path if path is not None and path.is_file() else None


def load_weights(model: nn.Module, checkpoint: str | PathLike) -> bool:
    """Load weights into a model, as :func:`get_model` does. Returns whether the file has more than an encoder, or the
    model is one that needs no more."""
    state_dict, target = read_state_dict(checkpoint), model
    if isinstance(model, PairMAE) and all(name.startswith(ENCODER) for name in state_dict):
        state_dict = {name.removeprefix(ENCODER): value for name, value in state_dict.items()}
        target = model.backbone
        warnings.warn(f'{checkpoint} holds an encoder alone: the decoder is untrained', stacklevel=3)
    load_whole(target, state_dict, checkpoint)
    return target is model
