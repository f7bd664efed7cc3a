"""Transformer blocks of the decoders."""

import math
from collections.abc import Sequence

import torch.nn.functional as F
from mmcv.cnn.bricks.transformer import FFN
from mmengine.model import BaseModule
from mmpretrain.models.backbones.vision_transformer import TransformerEncoderLayer
from mmpretrain.models.utils import MultiheadAttention, build_norm_layer
from torch import Tensor, nn

from .arguments import require, require_share, require_whole
from .spatial_dropout import SpatialDropAttention

LN = dict(type='LN', eps=1e-6)
GELU = dict(type='GELU')
TANH_GELU = dict(type='GELU', approximate='tanh')


class SpatialDropBlock(TransformerEncoderLayer):
    """Pre-norm block of self-attention with adaptive spatial-attention dropout and a feed-forward layer.

    Args:
        embed_dims: Width D.
        num_heads: Attention heads.
        feedforward_channels: Hidden width of the feed-forward layer.
        spatial_drop: See :class:`SpatialDropAttention`.
        share_heads: See :class:`SpatialDropAttention`.
        drop_strategy: See :class:`SpatialDropAttention`.
        asad_backend: See :class:`SpatialDropAttention`.
    """

    def __init__(
        self,
        embed_dims: int,
        num_heads: int,
        feedforward_channels: int,
        spatial_drop: float = 0.0,
        share_heads: bool = False,
        drop_strategy: str = 'adaptive',
        asad_backend: str = 'auto',
    ) -> None:
        super().__init__(embed_dims, num_heads, feedforward_channels, norm_cfg=LN)
        self.attn = SpatialDropAttention(
            embed_dims,
            num_heads,
            spatial_drop=spatial_drop,
            share_heads=share_heads,
            drop_strategy=drop_strategy,
            asad_backend=asad_backend,
        )

    def forward(self, x: Tensor, drop_mask: Tensor | None = None) -> Tensor:
        """Map tokens ``(N, L, D)`` to tokens of the same shape. For ``drop_mask`` see :class:`SpatialDropAttention`."""
        x = x + self.attn(self.ln1(x), drop_mask)
        return self.ffn(self.ln2(x), identity=x)


class CrossAttention(BaseModule):
    """Multi-head cross-attention of queries to a memory.

    Args:
        embed_dims: Width D.
        num_heads: Attention heads.
        attn_drop: Dropout rate of attention weights.
        proj_drop: Dropout rate of the output.
        packed_init: Whether to initialize the weights of query, key and value as one xavier-uniform ``(3 D, D)``
            matrix, as ``torch.nn.MultiheadAttention`` does. Their bound is then ``sqrt(6 / (4 D))``. Otherwise each
            projection is a separate matrix, with bound ``sqrt(6 / (2 D))`` for the query and ``sqrt(6 / (3 D))`` for
            key and value together.
    """

    def __init__(
        self,
        embed_dims: int,
        num_heads: int,
        attn_drop: float = 0.0,
        proj_drop: float = 0.0,
        packed_init: bool = False,
    ) -> None:
        super().__init__()
        self.packed_init = packed_init
        self.num_heads = num_heads
        self.attn_drop = attn_drop
        self.q = nn.Linear(embed_dims, embed_dims)
        self.kv = nn.Linear(embed_dims, 2 * embed_dims)
        self.proj = nn.Linear(embed_dims, embed_dims)
        self.proj_drop = nn.Dropout(proj_drop)

    def init_packed(self) -> None:
        """With ``packed_init``, draw the weights of query, key and value again with one common bound."""
        if self.packed_init:
            bound = math.sqrt(6 / (4 * self.q.in_features))
            for projection in (self.q, self.kv):
                nn.init.uniform_(projection.weight, -bound, bound)

    def forward(self, x: Tensor, memory: Tensor) -> Tensor:
        """Attend from ``x (N, Q, D)`` to ``memory (N, M, D)``. Returns ``(N, Q, D)``."""
        q = self.q(x).unflatten(2, (self.num_heads, -1)).transpose(1, 2)
        k, v = self.kv(memory).unflatten(2, (2, self.num_heads, -1)).permute(2, 0, 3, 1, 4)
        x = F.scaled_dot_product_attention(q, k, v, dropout_p=self.attn_drop if self.training else 0.0)
        return self.proj_drop(self.proj(x.transpose(1, 2).flatten(2)))


def check_order(part: object, order: Sequence[str]) -> None:
    """Raise an error if the order contains an unknown or repeated step."""
    right = {*order} <= {'cross', 'self', 'ffn'} and len({*order}) == len(order)
    require(right, part, 'order', order, "some of 'cross', 'self' and 'ffn', each once")


class CrossBlock(BaseModule):
    """Decoder block with a memory. It applies residual steps of cross-attention, self-attention and feed-forward in a
    given order.

    Args:
        embed_dims: Width D.
        num_heads: Attention heads.
        feedforward_channels: Hidden width of the feed-forward step. None makes it a single linear layer.
        order: The steps, any of ``'cross'``, ``'self'``, ``'ffn'``, each at most once.
        norm_first: Whether to use pre-norm: each step normalizes its input, and cross-attention also normalizes its
            memory, unless ``norm_memory`` is False. Otherwise post-norm: each residual sum is normalized.
        dropout: Dropout rate of attention weights, step outputs and the hidden feed-forward layer.
        packed_init: See :class:`CrossAttention`.
        eps: Epsilon of the layer norms.
        cross_weight: Factor of the output of cross-attention in the residual sum.
        norm_memory: Whether pre-norm also normalizes the memory.
        act_cfg: Activation of the feed-forward step; by default the exact GELU.

    Raises:
        ValueError: If a value is out of range.
    """

    def __init__(
        self,
        embed_dims: int,
        num_heads: int,
        feedforward_channels: int | None,
        order: Sequence[str] = ('cross', 'self', 'ffn'),
        norm_first: bool = True,
        dropout: float = 0.0,
        packed_init: bool = False,
        eps: float = 1e-6,
        cross_weight: float = 1.0,
        norm_memory: bool = True,
        act_cfg: dict = GELU,
    ) -> None:
        super().__init__()
        norm = dict(type='LN', eps=eps)
        if feedforward_channels is not None:
            require_whole(self, feedforward_channels=feedforward_channels)
        require_share(self, dropout=dropout)
        check_order(self, order)
        self.order = tuple(order)
        self.norm_first = norm_first
        self.cross_weight = cross_weight
        if 'cross' in self.order:
            self.ln_cross = build_norm_layer(norm, embed_dims)
            self.ln_memory = build_norm_layer(norm, embed_dims) if norm_first and norm_memory else nn.Identity()
            self.cross_attn = CrossAttention(embed_dims, num_heads, dropout, dropout, packed_init)
        if 'self' in self.order:
            self.ln_self = build_norm_layer(norm, embed_dims)
            self.self_attn = MultiheadAttention(embed_dims, num_heads, attn_drop=dropout, proj_drop=dropout)
        if 'ffn' in self.order:
            self.ln_ffn = build_norm_layer(norm, embed_dims)
            if feedforward_channels is None:
                self.ffn = nn.Sequential(nn.Linear(embed_dims, embed_dims), nn.Dropout(dropout))
            else:
                self.ffn = FFN(embed_dims, feedforward_channels, act_cfg=act_cfg, ffn_drop=dropout, add_identity=False)

    def forward(self, x: Tensor, memory: Tensor | None = None) -> Tensor:
        """Map tokens ``(N, Q, D)`` to tokens of the same shape. The cross-attention step attends to
        ``memory (N, M, D)``. Without a memory it is skipped."""
        steps = {
            'cross': lambda tokens: self._cross(tokens, memory),
            'self': lambda tokens: self.self_attn(tokens),
            'ffn': lambda tokens: self.ffn(tokens),
        }
        for name in self.order:
            if name == 'cross' and memory is None:
                continue
            norm = getattr(self, f'ln_{name}')
            x = x + steps[name](norm(x)) if self.norm_first else norm(x + steps[name](x))
        return x

    def _cross(self, tokens: Tensor, memory: Tensor | None) -> Tensor:
        read = self.cross_attn(tokens, self.ln_memory(memory))
        return read if self.cross_weight == 1 else self.cross_weight * read
