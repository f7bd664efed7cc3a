"""How many entries of attention ASAD drops, and with which probabilities (DropMAE, arXiv 2304.00571, section 3.3).

There are ``L`` tokens, the first ``h = L / 2`` from frame 0, the others from frame 1.
"""

import torch
from torch import Tensor

EPS = 1e-6
"""What the authors' code adds to attention."""


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
