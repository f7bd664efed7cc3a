"""Encoder layers that run for some of their tokens only, with the weights of mmpretrain's layers."""

from collections.abc import Callable
from typing import NamedTuple

import torch.nn.functional as F
from mmpretrain.models.backbones.vision_transformer import TransformerEncoderLayer
from torch import Tensor


class Branches(NamedTuple):
    """What an adapted layer computes beside its two parts. Each function takes the normalized tokens of its part and
    returns an addition to that part's output of the same shape.

    Attributes:
        attn: Beside attention.
        ffn: Beside the feed-forward network.
    """

    attn: Callable[[Tensor], Tensor]
    ffn: Callable[[Tensor], Tensor]


def layer_of_last_tokens(
    layer: TransformerEncoderLayer, x: Tensor, first: int, branches: Branches | None = None
) -> Tensor:
    """Run a layer for the tokens from ``first`` on; they attend to all.

    Args:
        layer: An encoder layer.
        x: Tokens ``(N, L, D)``.
        first: Index of the first token that is wanted.
        branches: What is computed beside the layer's parts.

    Returns:
        ``(N, L - first, D)``.
    """
    normed = layer.ln1(x)
    (q,) = project(layer, normed[:, first:], 'q')
    x = x[:, first:] if branches is None else x[:, first:] + branches.attn(normed[:, first:])
    k, v = project(layer, normed, 'kv')
    return attend_and_feed(layer, x, q, k, v, branches)


def project(layer: TransformerEncoderLayer, x: Tensor, what: str) -> Tensor:
    """Queries (``'q'``) or keys and values (``'kv'``) of normalized tokens ``(N, L, D)``, ``(N, heads, L, d)`` each."""
    attn = layer.attn
    rows = slice(0, attn.embed_dims) if what == 'q' else slice(attn.embed_dims, None)
    bias = None if attn.qkv.bias is None else attn.qkv.bias[rows]
    projected = F.linear(x, attn.qkv.weight[rows], bias)
    return projected.unflatten(2, (-1, attn.num_heads, attn.head_dims)).permute(2, 0, 3, 1, 4)


def attend_and_feed(
    layer: TransformerEncoderLayer, x: Tensor, q: Tensor, k: Tensor, v: Tensor, branches: Branches | None = None
) -> Tensor:
    """The rest of a layer for the tokens ``x`` that asked the queries. Of ``branches``, the one beside attention was
    added to ``x`` before."""
    attn = layer.attn
    out = F.scaled_dot_product_attention(q, k, v, dropout_p=attn.attn_drop if attn.training else 0.0)
    x = x + attn.out_drop(attn.gamma1(attn.proj_drop(attn.proj(out.transpose(1, 2).flatten(2)))))
    normed = layer.ln2(x)
    out = layer.ffn(normed, identity=x)
    return out if branches is None else out + branches.ffn(normed)
