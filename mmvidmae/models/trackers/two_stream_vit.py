"""Encoder of BAT: two modalities through one encoder, with adapters between the streams."""

import torch
from torch import Tensor, nn

from mmvidmae.registry import MODELS

from ..layers import Branches, require_share, require_whole
from .one_stream_vit import OneStreamFeatures, OneStreamViT


class LinearBottleneck(nn.Module):
    """Three linear layers without activation, and dropout before the last one.

    Args:
        embed_dims: Width D of the tokens.
        hidden_dims: Width of the bottleneck.
        drop_rate: Dropout rate.
    """

    def __init__(self, embed_dims: int, hidden_dims: int, drop_rate: float) -> None:
        super().__init__()
        self.down = nn.Linear(embed_dims, hidden_dims)
        self.mid = nn.Linear(hidden_dims, hidden_dims)
        self.up = nn.Linear(hidden_dims, embed_dims)
        self.dropout = nn.Dropout(drop_rate)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(..., D)`` to ``(..., D)``."""
        return self.up(self.dropout(self.mid(self.down(x))))


@MODELS.register_module()
class TwoStreamViT(OneStreamViT):
    """:class:`OneStreamViT` for two modalities (BAT, AAAI 2024, arXiv:2312.10611).

    Both modalities are one batch of 2 N pictures. In each layer, an adapter beside attention and one beside the
    feed-forward network get the normalized tokens of the other modality; one adapter serves both directions. Tokens are
    eliminated in each modality by its own attention, and then exchanged by rank, as published. The streams' features
    are added.

    Without ``frame_embed`` this is BAT. With it, the encoder keeps the identities of a DropTrack checkpoint, for both
    modalities alike; BAT's forks add them to the position embeddings. Checkpoints of :class:`OneStreamViT` are loaded,
    and leave the adapters as they are.

    Args:
        adapter_dims: Width of the adapters.
        adapter_drop_rate: Dropout rate of the adapters.
        **kwargs: Arguments of :class:`OneStreamViT`.

    Raises:
        ValueError: If an argument is out of range.

    Source: SparkTempest/BAT@ccf9b2f:lib/models/layers/attn_adapt_blocks.py:106-132, lib/models/layers/adapter.py:27-55,
    lib/models/bat/vit_ce_adapter.py:131, 278.
    """

    def __init__(self, *args, adapter_dims: int = 8, adapter_drop_rate: float = 0.1, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        require_whole(self, adapter_dims=adapter_dims)
        require_share(self, adapter_drop_rate=adapter_drop_rate)

        def adapter() -> nn.Module:
            return LinearBottleneck(self.embed_dims, adapter_dims, adapter_drop_rate)

        self.adapters = nn.ModuleList(
            nn.ModuleDict(dict(attn=adapter(), ffn=adapter())) for _ in range(self.num_layers)
        )
        self._init_adapters()

    def init_parameters(self) -> None:
        """Initialize as MAE does, and the adapters as published."""
        super().init_parameters()
        self._init_adapters()

    def _init_adapters(self) -> None:
        for module in self.adapters.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                nn.init.zeros_(module.bias)

    def forward(
        self,
        template: Tensor,
        search: Tensor,
        cells: Tensor | None = None,
        keep_ratio: float | None = None,
        with_template: bool = False,
    ) -> OneStreamFeatures:
        """Encode templates and search regions of two modalities.

        Args:
            template: Normalized templates ``(N, 6, H_z, W_z)`` or ``(N, T, 6, H_z, W_z)``, three channels for each
                modality.
            search: Normalized search regions ``(N, 6, H_x, W_x)``.
            cells: See :meth:`OneStreamViT.forward`; ``(N, M)`` cells serve both modalities.
            keep_ratio: See :meth:`OneStreamViT.forward`.
            with_template: Whether to return the template's features too.

        Returns:
            The sum of both modalities' features. ``kept`` has the ids ``(2 * N, K)`` of both, the first one's first.

        Raises:
            ValueError: If an input has not six channels, or another size than ``template_size`` or ``search_size``.
        """
        both = self.encode_streams(template, search, cells, keep_ratio, with_template)
        search, template = (x if x is None else torch.add(*_streams(x)) for x in (both.search, both.template))
        return OneStreamFeatures(search, both.kept, template)

    def encode_streams(
        self,
        template: Tensor,
        search: Tensor,
        cells: Tensor | None = None,
        keep_ratio: float | None = None,
        with_template: bool = False,
    ) -> OneStreamFeatures:
        """As :meth:`forward`, but with the features ``(2 * N, D, h, w)`` of each modality."""
        channels = 2 * self.patch_embed.projection.in_channels
        for name, x in (('template', template), ('search region', search)):
            if x.shape[-3] != channels:
                raise ValueError(f'the {name} has {x.shape[-3]} channels, but two modalities have {channels}')
        template, search = (torch.cat(x.chunk(2, dim=-3)) for x in (template, search))
        if cells is not None and cells.ndim == 2 and len(cells) > 1:
            cells = torch.cat((cells, cells))
        return super().forward(template, search, cells, keep_ratio, with_template)

    def branches(self, index: int) -> Branches:
        """Adapters of a layer from the other modality's tokens. Each is dropped with the layer's stochastic depth."""
        layer, adapters = self.layers[index], self.adapters[index]

        def exchange(tokens: Tensor) -> Tensor:
            return torch.cat(_streams(tokens)[::-1])

        return Branches(
            lambda tokens: layer.attn.out_drop(adapters['attn'](exchange(tokens))),
            lambda tokens: layer.ffn.dropout_layer(adapters['ffn'](exchange(tokens))),
        )

    def _prepare_pos_embed(self, state_dict: dict[str, Tensor], prefix: str, *args, **kwargs) -> None:
        """Convert an encoder's parameters before loading. One without adapters gets those of this encoder."""
        if not any(name.startswith(f'{prefix}adapters.') for name in state_dict):
            adapters = self.adapters.state_dict()
            state_dict.update({f'{prefix}adapters.{name}': value for name, value in adapters.items()})
        super()._prepare_pos_embed(state_dict, prefix, *args, **kwargs)


def _streams(x: Tensor) -> tuple[Tensor, ...]:
    """Both modalities of a batch ``(2 N, ...)``. Unlike ``chunk``, this is exported with N left open."""
    return x.unflatten(0, (2, -1)).unbind(0)
