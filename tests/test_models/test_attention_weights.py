"""Attention weights beside the fused kernels that do not return them."""

import pytest
import torch
from mmpretrain.models.utils import MultiheadAttention

from mmvidmae.models.layers import SpatialDropAttention, attention_weights


@pytest.mark.parametrize('module', [MultiheadAttention, SpatialDropAttention])
def test_weights_give_the_output(module):
    torch.manual_seed(0)
    attn = module(24, 3, qkv_bias=True).eval()
    x = torch.randn(2, 10, 24)
    weights = attention_weights(attn, x)
    assert weights.shape == (2, 3, 10, 10)
    torch.testing.assert_close(weights.sum(-1), torch.ones(2, 3, 10))
    v = attn.qkv(x)[..., 48:].unflatten(2, (3, 8)).transpose(1, 2)
    torch.testing.assert_close(attn.proj((weights @ v).transpose(1, 2).flatten(2)), attn(x), atol=1e-6, rtol=1e-5)
