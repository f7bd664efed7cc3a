"""The attention weights that fused kernels do not return."""

import torch
from torch import Tensor, nn


@torch.no_grad()
def attention_weights(attn: nn.Module, x: Tensor) -> Tensor:
    """Weights of a self-attention module for its input, computed explicitly in float32.

    Args:
        attn: mmpretrain's ``MultiheadAttention`` or our :class:`SpatialDropAttention` (without its dropout).
        x: Its input ``(N, L, D)``.

    Returns:
        ``(N, heads, L, L)``, rows (queries) summing to 1.
    """
    q, k, _ = attn.qkv(x).unflatten(2, (3, attn.num_heads, attn.head_dims)).permute(2, 0, 3, 1, 4)
    return (q.float() @ k.float().transpose(-2, -1) * attn.head_dims**-0.5).softmax(-1)
