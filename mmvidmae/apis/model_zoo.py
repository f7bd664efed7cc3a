"""The models of the model index, by name, here and in mmpretrain's own ``get_model`` and ``list_models``."""

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
"""What the names of the encoder's parameters begin with."""


def _find_configs() -> dict[str, Path]:
    """The configs of the model index by name.

    It lies in ``.mim`` beside our modules in an installed package (links in an editable one), and beside the package in
    a bare checkout.
    """
    package = Path(__file__).resolve().parents[1]
    root = package / '.mim' if (package / '.mim' / 'model-index.yml').is_file() else package.parent
    index = load_index(str(root / 'model-index.yml'))
    if not mmpretrain.apis.ModelHub.has(index.models[0].name):  # as after a reload of this module
        mmpretrain.apis.ModelHub.register_model_index(root / 'model-index.yml', config_prefix=root)
    return {model.name: root / model.config for model in index.models}


_CONFIGS = _find_configs()


def list_models(pattern: str | None = None) -> list[str]:
    """Names of our models, sorted.

    Args:
        pattern: What a name begins with, with the wildcards of a shell, as ``'dropmae*k700'``; None for all.
    """
    return sorted(matching(_CONFIGS, f'{pattern or ""}*'))


def get_model(
    name_or_config: str | PathLike | Config,
    checkpoint: str | PathLike | None = None,
    device: str | torch.device | None = None,
) -> nn.Module:
    """Build a model and load its weights, in evaluation mode.

    Args:
        name_or_config: A name of :func:`list_models`, a config file, or a config.
        checkpoint: Its weights: a checkpoint of a training, or a ``.pth`` or ``.safetensors`` file of
            ``tools/publish_model.py``. What it has beside the model's parts is left. One with the encoder alone leaves
            the decoder of a pre-training untrained, with a warning; for other models it is refused. Without a
            checkpoint the model is untrained.
        device: Where to put the model; by default on the GPU or other accelerator, if there is one.

    Returns:
        The model, as mmpretrain's ``get_model`` gives it.

    Raises:
        FileNotFoundError: If there is no such config.
        ValueError: If no model has this name, the config has misspelled names (see :func:`check_config`), or the
            checkpoint is missing, unreadable or does not have all of the model.
    """
    if isinstance(name_or_config, str):
        name_or_config = _CONFIGS.get(name_or_config, name_or_config)
    config = name_or_config if isinstance(name_or_config, Config) else Config.fromfile(name_or_config)
    if not (config.get('test_dataloader') or {}).get('dataset'):  # mmpretrain looks for class names there
        config = Config({key: value for key, value in config.items() if key != 'test_dataloader'})
    check_config(config, ['model'], 'mmpretrain')  # the scope in which mmpretrain builds it
    model = mmpretrain.apis.get_model(config)
    if checkpoint is not None:
        _load(model, checkpoint)
    return model.to(get_device() if device is None else device)


def _load(model: nn.Module, checkpoint: str | PathLike) -> None:
    state_dict, target = read_state_dict(checkpoint), model
    if isinstance(model, PairMAE) and all(name.startswith(ENCODER) for name in state_dict):
        state_dict = {name.removeprefix(ENCODER): value for name, value in state_dict.items()}
        target = model.backbone
        warnings.warn(f'{checkpoint} holds an encoder alone: the decoder is untrained', stacklevel=3)
    load_whole(target, state_dict, checkpoint)
