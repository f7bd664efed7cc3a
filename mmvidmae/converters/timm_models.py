"""Weights of the authors and of timm, for a backbone of timm."""

import tempfile
from collections.abc import Mapping
from contextlib import redirect_stdout
from pathlib import Path

from torch import Tensor

from .checkpoint_io import write_state_dict
from .conversion import ConversionError
from .key_maps import StateDict


def convert_for_timm(state: Mapping[str, Tensor], model_name: str) -> StateDict:
    """Convert parameters to those of :class:`TimmBackbone` with timm's own functions.

    timm knows the names of the authors of its models, such as those of DINOv2 and DINOv3.

    Args:
        state: Parameters by the names of timm or of the authors.
        model_name: Name of the model in timm.

    Returns:
        Parameters with names that begin with ``backbone.model.``, without a classification head.

    Raises:
        ConversionError: If timm has no such model, or the parameters are not all those of the model.
        ImportError: If timm is not installed.
    """
    from mmvidmae.models.backbones.timm_backbone import import_timm

    timm = import_timm()
    if not timm.is_model(model_name):
        raise ConversionError(f'timm {timm.__version__} has no model {model_name!r}; see timm.list_models')
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, 'weights.safetensors')
        write_state_dict(state, file, {})
        try:
            overlay = dict(file=str(file), url='', hf_hub_id='', custom_load=False)
            with redirect_stdout(None):  # timm prints while it looks for biases
                model = timm.create_model(model_name, pretrained=True, pretrained_cfg_overlay=overlay, num_classes=0)
        except (KeyError, RuntimeError, ValueError) as error:
            raise ConversionError(f'the parameters are not those of the model {model_name} of timm: {error}') from error
    own = model.state_dict()
    with_biases = any(name.endswith(('qkv.bias', 'q_bias')) for name in own)
    biases = [name for name in state if name.endswith('qkv.bias') and state[name].any()]
    if biases and not with_biases:  # timm would leave them out silently
        raise ConversionError(
            f'{model_name} of timm has no biases of queries and values, and {biases[0]} is not zero: name a variant of '
            'the model that has them, such as vit_small_patch16_dinov3_qkvb'
        )
    return {f'backbone.model.{name}': value for name, value in own.items()}
