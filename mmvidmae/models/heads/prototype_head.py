"""Projection of tokens to prototypes."""

from itertools import pairwise

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmvidmae.registry import MODELS

from ..layers import require_whole


class WeightNormLinear(nn.Module):
    """Linear layer without bias whose weight is ``g v / |v|``, with a learned length g and direction v for each output.

    torch's ``weight_norm`` computes the weight in a hook, which sharding of parameters (FSDP) does not expect.

    Args:
        in_channels: Width of the inputs.
        out_channels: Number of outputs.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.weight_g = nn.Parameter(torch.ones(out_channels, 1))
        self.weight_v = nn.Parameter(torch.empty(out_channels, in_channels))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw directions as ``torch.nn.Linear`` draws its weight, and set lengths to 1."""
        nn.init.ones_(self.weight_g)
        nn.init.uniform_(self.weight_v, -(self.weight_v.shape[1] ** -0.5), self.weight_v.shape[1] ** -0.5)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(..., in_channels)`` to ``(..., out_channels)``."""
        return F.linear(x, self.weight_g * self.weight_v / self.weight_v.norm(dim=1, keepdim=True))


@MODELS.register_module()
class PrototypeHead(BaseModule):
    """Head of DINO and iBOT: a multilayer perceptron, L2 normalization, and a weight-normalized linear layer.

    Its outputs are the cosines of a token with the prototypes, each times a learned length.

    Args:
        embed_dims: Width of the tokens.
        num_prototypes: Number K of prototypes.
        hidden_dims: Hidden width of the perceptron.
        bottleneck_dims: Width of the normalized vector.
        num_fcs: Number of linear layers of the perceptron.

    Raises:
        ValueError: If a value is out of range.

    Source: ``yafeng19/T-CORE@0ffcabe:base_model/configs/ssl_default_config.yaml:50-54``.
    """

    def __init__(
        self,
        embed_dims: int = 384,
        num_prototypes: int = 65536,
        hidden_dims: int = 2048,
        bottleneck_dims: int = 256,
        num_fcs: int = 3,
    ) -> None:
        super().__init__()
        require_whole(
            self,
            embed_dims=embed_dims,
            num_prototypes=num_prototypes,
            hidden_dims=hidden_dims,
            bottleneck_dims=bottleneck_dims,
            num_fcs=num_fcs,
        )
        widths = [embed_dims, *[hidden_dims] * (num_fcs - 1), bottleneck_dims]
        layers: list[nn.Module] = []
        for width, next_width in pairwise(widths):
            layers += [nn.Linear(width, next_width), nn.GELU()]
        self.num_prototypes = num_prototypes
        self.mlp = nn.Sequential(*layers[:-1])
        self.last_layer = WeightNormLinear(bottleneck_dims, num_prototypes)

    def init_weights(self) -> None:
        """Initialize as the authors' code does."""
        super().init_weights()
        for layer in self.mlp:
            if isinstance(layer, nn.Linear):
                nn.init.trunc_normal_(layer.weight, std=0.02)
                nn.init.zeros_(layer.bias)
        self.last_layer.reset_parameters()

    def forward(self, tokens: Tensor) -> Tensor:
        """Compute logits ``(P, K)`` of tokens ``(P, D)``, in float32."""
        vectors = self.mlp(tokens)
        vectors = F.normalize(vectors, dim=-1, eps=1e-6 if vectors.dtype == torch.float16 else 1e-12)
        return self.last_layer(vectors).float()
