"""Adaptive spatial-attention dropout (ASAD) of DropMAE (arXiv 2304.00571, section 3.3).

Video frames are spatially redundant. A decoder that attends jointly to both frames can reconstruct a hidden patch from
neighbors in the same frame and ignore time. In training, ASAD drops part of the within-frame attention. It drops most
where a patch has a good match in the other frame, so that the decoder must use that match.

Shapes: there are ``L`` tokens, the first ``h = L / 2`` from frame 0, the others from frame 1. Leading dimensions
    (samples, heads) are arbitrary.
"""

import torch
import torch.nn.functional as F
from mmpretrain.models.utils import MultiheadAttention
from torch import Tensor

from .arguments import require, require_share

EPS = 1e-6

STRATEGIES = ('adaptive', 'uniform', 'match', 'row')
"""Ways to choose what is dropped, see :class:`SpatialDropAttention`."""


def num_spatial_drops(drop_ratio: float, num_tokens: int) -> int:
    """Number of attention entries to drop in one ``L x L`` matrix: ``int(P (h - 1)) L``, rounded down per row, as in
    the authors' code.

    Args:
        drop_ratio: Drop ratio P in [0, 1].
        num_tokens: Number of tokens L of both frames.
    """
    return int(drop_ratio * (num_tokens // 2 - 1)) * num_tokens


def spatial_drop_weights(attn: Tensor, match_only: bool = False) -> Tensor:
    """Drop weights of within-frame attention entries: ``W_ij = f_tem(i) p_ij``.

    ``f_tem(i)`` is the largest attention of query i to the other frame. ``p_ij`` is its attention to its own frame,
    itself excluded, normalized to sum to one. Both include the 1e-6 of the authors' code.

    Args:
        attn: Attention probabilities ``(..., L, L)``. Each row sums to one.
        match_only: Whether ``W_ij = f_tem(i)`` instead, the same for all tokens of the query's own frame.

    Returns:
        Weights ``(..., L, h)``. Column j is token j of the query's own frame. The weight of the query itself is zero.
        Attention to the other frame is never dropped and has no column.
    """
    half = attn.shape[-1] // 2
    blocks = attn.unflatten(-1, (2, half)).unflatten(-3, (2, half))  # (..., query frame, h, key frame, h)
    match = torch.stack((blocks[..., 0, :, 1, :].amax(-1), blocks[..., 1, :, 0, :].amax(-1)), dim=-2).add_(EPS)
    within = torch.stack((blocks[..., 0, :, 0, :], blocks[..., 1, :, 1, :]), dim=-3).add_(EPS)
    if match_only:
        within.fill_(1.0)
    within.diagonal(dim1=-2, dim2=-1).zero_()
    return within.mul_((match / within.sum(-1))[..., None]).flatten(-3, -2)


def sample_spatial_drops(weights: Tensor, num_drops: int, per_row: bool = False) -> Tensor:
    """Draw ``num_drops`` entries of each matrix without replacement, with probabilities proportional to ``weights``.

    The keys ``W / Exp(1)`` in descending order have exactly the distribution of successive draws without replacement.
    One top-k therefore replaces ``torch.multinomial`` and its loop. Entries are drawn from the whole matrix.

    Args:
        weights: Weights ``(..., L, h)`` from :func:`spatial_drop_weights`.
        num_drops: Number of entries to drop in each matrix, at most ``L (h - 1)``.
        per_row: Whether to draw ``num_drops / L`` entries in each row instead.

    Returns:
        Boolean mask ``(..., L, L)``, True where attention is dropped. It is False on the diagonal and between frames.
    """
    length, half = weights.shape[-2:]
    # -log(rand) has the distribution Exp(1); on the CPU exponential_() takes five times longer. Without the minus sign,
    # the largest keys become the smallest.
    keys = torch.rand_like(weights).log_()
    torch.div(weights, keys, out=keys)
    drops = torch.zeros(*weights.shape[:-2], length * length, dtype=torch.bool, device=weights.device)
    if per_row:
        chosen = keys.topk(num_drops // length, dim=-1, largest=False, sorted=False).indices
        row = torch.arange(length, device=weights.device)[:, None]
        return drops.unflatten(-1, (length, length)).scatter_(-1, chosen + half * (row >= half), True)
    chosen = keys.flatten(-2).topk(num_drops, dim=-1, largest=False, sorted=False).indices
    row = chosen // half
    in_matrix = chosen + half * (row + (row >= half))  # from (L, h) to (L, L), with frame 1 in the right half
    return drops.scatter_(-1, in_matrix, True).unflatten(-1, (length, length))


class SpatialDropAttention(MultiheadAttention):
    """Self-attention over the tokens of two frames with adaptive spatial-attention dropout.

    Drops are drawn in each training step for every sample and, by default, every head. No gradient flows through the
    choice. The remaining attention is renormalized by a second softmax, not rescaled. Nothing is dropped in evaluation
    or with ``spatial_drop=0`` (TwinMAE).

    All strategies drop the same number of entries, and never attention to the other frame or of a query to itself:

    - ``'adaptive'`` (DropMAE): an entry is drawn in proportion to the match of its query i in the other frame and to
      its attention, ``f_tem(i) p_ij``;
    - ``'uniform'``: all entries are equally likely;
    - ``'match'``: in proportion to the match of its query alone, ``f_tem(i)``;
    - ``'row'``: each query loses the same number of entries, drawn in proportion to their attention ``p_ij``.

    Only the first is the paper's.

    Args:
        spatial_drop: Share P of within-frame attention to drop, in [0, 1].
        share_heads: Whether to draw one mask per sample from the attention averaged over heads, instead of one mask per
            head.
        drop_strategy: ``'adaptive'``, ``'uniform'``, ``'match'`` or ``'row'``.
        **kwargs: Arguments of mmpretrain's ``MultiheadAttention`` (``embed_dims``, ``num_heads``, ...).
    """

    def __init__(
        self,
        *args,
        spatial_drop: float = 0.0,
        share_heads: bool = False,
        drop_strategy: str = 'adaptive',
        **kwargs,
    ) -> None:
        super().__init__(*args, **kwargs)
        require_share(self, one=True, spatial_drop=spatial_drop)
        require(drop_strategy in STRATEGIES, self, 'drop_strategy', drop_strategy, f'one of {", ".join(STRATEGIES)}')
        self.drop_strategy = drop_strategy
        self.spatial_drop = spatial_drop
        self.share_heads = share_heads

    def forward(self, x: Tensor, drop_mask: Tensor | None = None) -> Tensor:
        """Apply self-attention.

        Args:
            x: Tokens ``(N, L, D)``, those of frame 0 first.
            drop_mask: Boolean mask ``(N, heads or 1, L, L)``, True where attention is dropped, to repeat given draws.
                By default, drops are drawn in training.

        Returns:
            Tokens ``(N, L, D)``.
        """
        q, k, v = self.qkv(x).unflatten(2, (3, self.num_heads, self.head_dims)).permute(2, 0, 3, 1, 4)
        if drop_mask is None and self.training:
            drop_mask = self.sample_drop_mask(q, k)
        keep = None if drop_mask is None else ~drop_mask
        x = F.scaled_dot_product_attention(q, k, v, attn_mask=keep, dropout_p=self.attn_drop if self.training else 0.0)
        return self.out_drop(self.gamma1(self.proj_drop(self.proj(x.transpose(1, 2).flatten(2)))))

    @torch.no_grad()
    def sample_drop_mask(self, q: Tensor, k: Tensor) -> Tensor | None:
        """Draw the drop mask for queries and keys ``(N, heads, L, head_dims)``. None if there is nothing to drop."""
        num_drops = num_spatial_drops(self.spatial_drop, q.shape[-2])
        if num_drops == 0:
            return None
        if self.drop_strategy == 'uniform':
            samples, heads, length = q.shape[:3]
            ones = q.new_ones(samples, 1 if self.share_heads else heads, length, length, dtype=torch.float32)
            return sample_spatial_drops(spatial_drop_weights(ones, match_only=True), num_drops)
        attn = (q * self.head_dims**-0.5 @ k.transpose(-2, -1)).float()
        torch.softmax(attn, -1, out=attn)
        if self.share_heads:
            attn = attn.mean(1, keepdim=True)
        weights = spatial_drop_weights(attn, self.drop_strategy == 'match')
        return sample_spatial_drops(weights, num_drops, self.drop_strategy == 'row')
