"""Frozen encoder with a trained linear adapter (Co-Settle)."""

import torch
from mmengine.model import BaseModule
from torch import Tensor, nn
from torch.func import functional_call

from mmvidmae.registry import MODELS
from mmvidmae.utils.weights import load_pretrained

from ..layers import init_mae_weights, require
from .pretrained import PretrainedEncoder


class LinearAdapter(BaseModule):
    """Adapter ``LayerNorm(tanh(linear(x)))`` that keeps the width.

    Args:
        embed_dims: Width D.

    Source: ``yafeng19/Co-Settle@3a01eb0:ST_adapter.py:21-24,39-43``.
    """

    def __init__(self, embed_dims: int) -> None:
        super().__init__()
        self.linear = nn.Linear(embed_dims, embed_dims)
        self.ln = nn.LayerNorm(embed_dims, eps=1e-5)

    def init_weights(self) -> None:
        """Initialize as MAE does: xavier-uniform weights, zero bias."""
        super().init_weights()
        init_mae_weights(self)

    def forward(self, x: Tensor) -> Tensor:
        """Map tokens ``(..., D)`` to tokens of the same shape."""
        return self.ln(self.linear(x).tanh())


@MODELS.register_module()
class AdaptedViT(PretrainedEncoder, BaseModule):
    """Frozen vision transformer with a :class:`LinearAdapter` on its patch tokens. Only the adapter is trained.

    It is the backbone of :class:`CoSettle`, and loads its checkpoints wherever a backbone with a feature map is used,
    such as label propagation.

    Args:
        encoder: Config of a vision transformer with a feature map (``out_type='featmap'``, which is filled in) and a
            position embedding ``pos_embed`` of shape ``(1, class tokens + L, D)``: :class:`PairMAEViT`,
            ``mmpretrain.VisionTransformer`` and others of mmpretrain. Its ``init_cfg`` names the frozen weights, which
            must be complete.
        init_cfg: Initialization config of MMEngine.

    Raises:
        ValueError: If the encoder has no such position embedding or no feature map.
    """

    def __init__(self, encoder: dict, init_cfg: dict | None = None) -> None:
        super().__init__(init_cfg)
        self.encoder = MODELS.build({'out_type': 'featmap', **encoder})
        name = type(self.encoder).__name__
        pos_embed = getattr(self.encoder, 'pos_embed', None)
        fits = isinstance(pos_embed, Tensor) and pos_embed.ndim == 3
        require(fits, self, 'encoder', name, 'a vision transformer with a position embedding (1, tokens, D)')
        out_type = getattr(self.encoder, 'out_type', 'featmap')
        require(out_type == 'featmap', self, 'encoder', f'{name}(out_type={out_type!r})', "one with out_type='featmap'")
        self.embed_dims = pos_embed.shape[-1]
        self.adapter = LinearAdapter(self.embed_dims)
        self.encoder.requires_grad_(False)
        if isinstance(pos_embed, nn.Parameter):  # a buffer of the same name: FSDP would not let a parameter be replaced
            del self.encoder.pos_embed
            self.encoder.register_buffer('pos_embed', pos_embed.detach())
        self.train()

    def init_weights(self) -> None:
        """Load the frozen weights that the encoder's ``init_cfg`` names, all of them, and initialize the adapter.

        Raises:
            ValueError: If the checkpoint does not fit the encoder.
        """
        load_pretrained(self.encoder)
        super().init_weights()

    @property
    def patch_resolution(self) -> tuple[int, int]:
        """Patch grid (rows, columns) of the encoder's position embedding."""
        return tuple(self.encoder.patch_resolution)

    def train(self, mode: bool = True) -> 'AdaptedViT':
        """Set the mode of the adapter; the encoder stays in evaluation mode."""
        super().train(mode)
        self.encoder.eval()
        return self

    def extract_frozen(self, frames: Tensor, pos_embed: Tensor | None = None) -> Tensor:
        """Extract frozen feature maps ``(N, D, h, w)`` of frames ``(N, 3, H, W)``, without gradient.

        ``pos_embed (1, L, D)`` replaces the position embedding of the patches; that of the class token stays.
        """
        with torch.no_grad():
            if pos_embed is None:
                return self.encoder(frames)[-1]
            extra = self.encoder.pos_embed[:, : self.encoder.pos_embed.shape[1] - pos_embed.shape[1]]
            replaced = {'pos_embed': torch.cat((extra, pos_embed), dim=1)}
            return functional_call(self.encoder, replaced, (frames,))[-1]

    def adapt(self, features: Tensor) -> Tensor:
        """Adapt feature maps ``(N, D, h, w)``."""
        return self.adapter(features.movedim(1, -1)).movedim(-1, 1)

    def forward(self, x: Tensor) -> tuple[Tensor]:
        """Extract the adapted feature map ``(N, D, h, w)`` of frames ``(N, 3, H, W)``."""
        return (self.adapt(self.extract_frozen(x)),)
