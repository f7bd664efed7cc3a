"""Weight initialization of MAE, shared by encoder and decoders, and a check of loaded weights."""

from collections.abc import Mapping

from torch import Tensor, nn


def init_mae_weights(module: nn.Module) -> None:
    """Initialize every linear layer below ``module`` as MAE and its descendants do: xavier-uniform weights, zero
    biases.

    mmpretrain draws the biases of feed-forward layers from N(0, 1e-6) instead. This function must therefore run after
    mmpretrain's initialization.
    """
    for layer in module.modules():
        if isinstance(layer, nn.Linear):
            nn.init.xavier_uniform_(layer.weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


def check_shapes(encoder: nn.Module, state_dict: Mapping[str, Tensor], prefix: str) -> None:
    """Check that a checkpoint has the parameters of an encoder, no others below its prefix, and their shapes.

    Args:
        encoder: Encoder to load.
        state_dict: Parameters of the checkpoint.
        prefix: Prefix of the encoder's names, such as ``'backbone.'``.

    Raises:
        ValueError: If a parameter is missing, unknown or has another shape. The message names the first five.
    """
    own = {prefix + name: tuple(value.shape) for name, value in encoder.state_dict().items()}
    given = {name: tuple(value.shape) for name, value in state_dict.items() if name.startswith(prefix)}
    wrong = sorted(name for name in own.keys() | given.keys() if own.get(name) != given.get(name))
    if wrong:
        lines = [f'{name}: {given.get(name, "missing")}, expected {own.get(name, "none")}' for name in wrong[:5]]
        raise ValueError(
            f'the checkpoint does not fit the encoder in {len(wrong)} parameters: {"; ".join(lines)}. Set the arch '
            'and patch_size that it was trained with; convert the weights of other code with '
            'tools/model_converters/convert.py'
        )
