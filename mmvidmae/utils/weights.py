"""Strict loading of weights: the file must have all parameters of the model."""

from collections.abc import Mapping
from os import PathLike

from mmengine.runner import CheckpointLoader
from torch import Tensor, nn

_NO_WEIGHTS = ('data_preprocessor.',)
"""Prefixes of parameters that the config determines, not the checkpoint."""


def load_whole(model: nn.Module, state_dict: Mapping[str, Tensor], source: str | PathLike) -> None:
    """Load all parameters of a model.

    MMEngine only warns about mismatches and continues with random weights. Here they are errors. Parameters of parts
    that the model does not have, such as a decoder for a frozen encoder, are ignored.

    Args:
        model: Model to load into.
        state_dict: Parameters by name.
        source: Origin of the parameters, for the message.

    Raises:
        ValueError: If a parameter is missing or has another shape, or a part of the model has no such parameter.
    """
    own = {name for name in model.state_dict() if not name.endswith('num_batches_tracked')}
    # Before loading, because hooks of a model fill in parameters that an initialization may lack.
    missing = sorted(own - state_dict.keys())
    try:
        _, unexpected = model.load_state_dict(state_dict, strict=False)
    except (AssertionError, RuntimeError, ValueError) as error:  # PyTorch lists parameters with other shapes
        raise ValueError(f'{source} does not fit {type(model).__name__}. {error}. {_HINT}') from error
    unknown = sorted(
        name for name in unexpected if hasattr(model, name.partition('.')[0]) and not name.startswith(_NO_WEIGHTS)
    )
    problems = [
        f'{what} {len(names)} parameters ({_listing(names)})'
        for what, names in (('missing', missing), ('unknown', unknown))
        if names
    ]
    if problems:
        raise ValueError(f'{source} does not fit {type(model).__name__}: {", ".join(problems)}. {_HINT}')


def load_pretrained(model: nn.Module) -> bool:
    """Load the checkpoint of a model's ``init_cfg`` with :func:`load_whole`, if it names one.

    Returns:
        Whether it does.

    Raises:
        ValueError: If the checkpoint does not fit.
    """
    init_cfg = getattr(model, 'init_cfg', None)
    if not isinstance(init_cfg, dict) or init_cfg['type'] != 'Pretrained':
        return False
    checkpoint, prefix = init_cfg['checkpoint'], init_cfg.get('prefix') or ''
    state_dict = CheckpointLoader.load_checkpoint(checkpoint, 'cpu')
    state_dict = state_dict.get('state_dict', state_dict)
    state_dict = {key.removeprefix(prefix): value for key, value in state_dict.items() if key.startswith(prefix)}
    load_whole(model, state_dict, checkpoint)
    model.is_init = True  # type: ignore[assignment]
    return True


_HINT = (
    'The config must be that of the training; tools/model_converters/convert.py converts the weights of other code; an '
    'encoder alone can initialize a training (model.backbone.init_cfg)'
)


def _listing(names: list[str], limit: int = 6) -> str:
    return ', '.join(names[:limit]) + (', ...' if len(names) > limit else '')
