"""Weight initialization of MAE, shared by encoder and decoders."""

from torch import nn


def init_mae_weights(module: nn.Module) -> None:
    """Initialize every linear layer below ``module`` as MAE and its descendants do: xavier-uniform weights, zero
    biases.

    mmpretrain draws the biases of feed-forward layers from N(0, 1e-6) instead, so this runs after its own
    initialization.
    """
    for layer in module.modules():
        if isinstance(layer, nn.Linear):
            nn.init.xavier_uniform_(layer.weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
