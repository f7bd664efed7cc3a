"""Adaptive spatial-attention dropout (ASAD) of DropMAE (arXiv 2304.00571, section 3.3).

Video frames are redundant in space, so a decoder that attends jointly to both frames can fill a hidden patch from its
neighbors in the same frame and ignore time. ASAD removes part of the within-frame attention in training, most where a
patch has a good match in the other frame, so that the decoder has to use that match.

Shapes: ``L`` tokens, the first ``h = L / 2`` of them from frame 0, the others from frame 1; leading dimensions
    (samples, heads) are free.
"""

import torch
import torch.nn.functional as F
from mmpretrain.models.utils import MultiheadAttention
from torch import Tensor

from .arguments import require_share

EPS = 1e-6


def num_spatial_drops(drop_ratio: float, num_tokens: int) -> int:
    """Attention entries dropped in one ``L x L`` matrix: ``int(P (h - 1)) L``, floored per row first, as in the
    authors' code.

    Args:
        drop_ratio: P, in [0, 1].
        num_tokens: L, the tokens of both frames.
    """
    return int(drop_ratio * (num_tokens // 2 - 1)) * num_tokens


def spatial_drop_weights(attn: Tensor) -> Tensor:
    """How strongly each within-frame attention entry attracts a drop: ``W_ij = f_tem(i) p_ij``.

    ``f_tem(i)`` is the largest attention of query i to the other frame and ``p_ij`` its attention to its own frame,
    without itself, normalized to sum to one. Both carry the 1e-6 of the authors' code.

    Args:
        attn: Attention probabilities ``(..., L, L)``, rows summing to one.

    Returns:
        Weights ``(..., L, h)``: column j is token j of the query's own frame. The query itself has weight zero;
        attention to the other frame is no candidate and has no column.
    """
    half = attn.shape[-1] // 2
    blocks = attn.unflatten(-1, (2, half)).unflatten(-3, (2, half))  # (..., query frame, h, key frame, h)
    match = torch.stack((blocks[..., 0, :, 1, :].amax(-1), blocks[..., 1, :, 0, :].amax(-1)), dim=-2).add_(EPS)
    within = torch.stack((blocks[..., 0, :, 0, :], blocks[..., 1, :, 1, :]), dim=-3).add_(EPS)
    within.diagonal(dim1=-2, dim2=-1).zero_()
    return within.mul_((match / within.sum(-1))[..., None]).flatten(-3, -2)


def sample_spatial_drops(weights: Tensor, num_drops: int) -> Tensor:
    """Draw ``num_drops`` entries of each matrix without replacement, with probabilities proportional to ``weights``.

    The keys ``W / Exp(1)`` ordered from the largest follow exactly the law of successive draws without replacement, so
    one top-k replaces ``torch.multinomial`` and its loop. The budget is shared by the whole matrix, not split over
    rows.

    Args:
        weights: ``(..., L, h)`` from :func:`spatial_drop_weights`.
        num_drops: Entries to drop in each matrix, at most ``L (h - 1)``.

    Returns:
        Boolean ``(..., L, L)``, True where attention is to be dropped; False on the diagonal and between frames.
    """
    length, half = weights.shape[-2:]
    # Exp(1) is -log(rand), which is positive; on the CPU exponential_() takes five times longer. The minus is left out:
    # the largest keys become the smallest.
    keys = torch.rand_like(weights).log_()
    torch.div(weights, keys, out=keys)
    chosen = keys.flatten(-2).topk(num_drops, dim=-1, largest=False, sorted=False).indices
    row = chosen // half
    in_matrix = chosen + half * (row + (row >= half))  # from (L, h) to (L, L), where frame 1 has the right half
    drops = torch.zeros(*weights.shape[:-2], length * length, dtype=torch.bool, device=weights.device)
    return drops.scatter_(-1, in_matrix, True).unflatten(-1, (length, length))


class SpatialDropAttention(MultiheadAttention):
    """Self-attention over the tokens of two frames with adaptive spatial-attention dropout.

    The drops are drawn afresh in each training step, for every sample and, by default, every head; no gradient flows
    through the choice and the attention that remains is renormalized (a second softmax), not rescaled. Nothing is
    dropped in evaluation or with ``spatial_drop=0``, which is TwinMAE.

    Args:
        spatial_drop: P in [0, 1], the share of within-frame attention that is dropped.
        share_heads: Draw one mask a sample from the attention averaged over heads, instead of one a head.
        **kwargs: Of mmpretrain's ``MultiheadAttention`` (``embed_dims``, ``num_heads``, ...).
    """

    def __init__(self, *args, spatial_drop: float = 0.0, share_heads: bool = False, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        require_share(self, one=True, spatial_drop=spatial_drop)
        self.spatial_drop = spatial_drop
        self.share_heads = share_heads

    def forward(self, x: Tensor, drop_mask: Tensor | None = None) -> Tensor:
        """Attend.

        Args:
            x: ``(N, L, D)``, tokens of frame 0, then of frame 1.
            drop_mask: Boolean ``(N, heads or 1, L, L)``, True where attention is dropped, to repeat a given draw.
                Without it, drops are drawn in training.

        Returns:
            ``(N, L, D)``.
        """
        q, k, v = self.qkv(x).unflatten(2, (3, self.num_heads, self.head_dims)).permute(2, 0, 3, 1, 4)
        if drop_mask is None and self.training:
            drop_mask = self.sample_drop_mask(q, k)
        keep = None if drop_mask is None else ~drop_mask
        x = F.scaled_dot_product_attention(q, k, v, attn_mask=keep, dropout_p=self.attn_drop if self.training else 0.0)
        return self.out_drop(self.gamma1(self.proj_drop(self.proj(x.transpose(1, 2).flatten(2)))))

    @torch.no_grad()
    def sample_drop_mask(self, q: Tensor, k: Tensor) -> Tensor | None:
        """Draw the drop mask of queries and keys ``(N, heads, L, head_dims)``; None where the budget is empty."""
        num_drops = num_spatial_drops(self.spatial_drop, q.shape[-2])
        if num_drops == 0:
            return None
        attn = (q * self.head_dims**-0.5 @ k.transpose(-2, -1)).float()
        torch.softmax(attn, -1, out=attn)
        if self.share_heads:
            attn = attn.mean(1, keepdim=True)
        return sample_spatial_drops(spatial_drop_weights(attn), num_drops)
