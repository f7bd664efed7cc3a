"""The attention weights that fused kernels do not return."""

import torch
from torch import Tensor, nn


@torch.no_grad()
def attention_weights(attn: nn.Module, x: Tensor, memory: Tensor | None = None) -> Tensor:
    """Weights of an attention module for its input, computed explicitly in float32.

    Args:
        attn: mmpretrain's ``MultiheadAttention``, our :class:`SpatialDropAttention` (without its dropout), or, with
            ``memory``, our :class:`CrossAttention`.
        x: Its queries ``(N, L, D)``.
        memory: What they attend to, ``(N, M, D)``; by default themselves.

    Returns:
        ``(N, heads, L, L or M)``, rows (queries) summing to 1.
    """
    if memory is None:
        q, k, _ = attn.qkv(x).chunk(3, dim=-1)  # type: ignore[operator]
    else:
        q, k = attn.q(x), attn.kv(memory).chunk(2, dim=-1)[0]  # type: ignore[operator]
    q, k = (part.unflatten(2, (attn.num_heads, -1)).transpose(1, 2).float() for part in (q, k))
    return (q @ k.transpose(-2, -1) * q.shape[-1] ** -0.5).softmax(-1)
