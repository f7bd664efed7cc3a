"""Decoder that completes the tokens of one frame with those of another, in the space of the encoder."""

from mmengine.model import BaseModule
from torch import Tensor, nn

from mmvidmae.registry import MODELS

from ..layers import CrossBlock, init_mae_weights, maybe_checkpoint, require, require_divisible, require_whole


@MODELS.register_module()
class LatentCrossDecoder(BaseModule):
    """Cross-self decoder on the encoder's own tokens (T-CoRe): no projection, mask token, positions or pixels.

    A block has the steps cross-attention, self-attention and a linear layer, with post-norm. The output of
    cross-attention counts ``cross_weight`` times in its residual sum.

    Args:
        embed_dims: Width D of the tokens.
        depth: Number of blocks.
        num_heads: Attention heads.
        cross_weight: Factor of the output of cross-attention.
        eps: Epsilon of the layer norms.
        with_cp: Whether to use gradient checkpointing.

    Raises:
        ValueError: If a value is out of range.

    Source: ``yafeng19/T-CORE@67c8bf9:base_model/models/auxiliary_decoder.py:3-29``.
    """

    def __init__(
        self,
        embed_dims: int = 384,
        depth: int = 1,
        num_heads: int = 16,
        cross_weight: float = 4.0,
        eps: float = 1e-5,
        with_cp: bool = False,
    ) -> None:
        super().__init__()
        require_whole(self, depth=depth, num_heads=num_heads)
        require_divisible(self, num_heads, 'num_heads', embed_dims=embed_dims)
        require(cross_weight > 0, self, 'cross_weight', cross_weight, 'above 0: the memory would not be read')
        self.with_cp = with_cp
        self.decoder_blocks = nn.ModuleList(
            CrossBlock(
                embed_dims,
                num_heads,
                None,
                norm_first=False,
                packed_init=True,
                eps=eps,
                cross_weight=cross_weight,
            )
            for _ in range(depth)
        )

    def init_weights(self) -> None:
        """Initialize linear layers as MAE does, and the projections of cross-attention as one matrix."""
        super().init_weights()
        init_mae_weights(self)
        for block in self.decoder_blocks:
            block.cross_attn.init_packed()

    def forward(self, queries: Tensor, memory: Tensor) -> Tensor:
        """Map queries ``(N, L, D)`` to tokens of the same shape, with a memory ``(N, M, D)``."""
        for block in self.decoder_blocks:
            queries = maybe_checkpoint(block, queries, memory, with_cp=self.with_cp)
        return queries
