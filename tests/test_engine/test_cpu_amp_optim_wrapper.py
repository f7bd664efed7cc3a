"""Mixed precision on CPUs."""

import pytest
import torch
import torch.nn.functional as F
from mmengine.optim import build_optim_wrapper
from torch import nn

from mmvidmae.models.layers import maybe_checkpoint


def test_forward_pass_in_bfloat16_and_the_rest_in_float32():
    torch.manual_seed(0)
    model = nn.Linear(8, 4)
    wrapper = build_optim_wrapper(
        model, dict(type='mmvidmae.CPUAmpOptimWrapper', optimizer=dict(type='AdamW', lr=1e-3), accumulative_counts=2)
    )
    before = model.weight.clone()
    for step in range(2):
        with wrapper.optim_context(model):
            out = model(torch.randn(2, 8))
        assert out.dtype == torch.bfloat16
        wrapper.update_params(out.float().square().mean())
        assert torch.equal(model.weight, before) == (step == 0), 'the second step has both gradients'
    assert model.weight.dtype == torch.float32
    assert {value.dtype for value in wrapper.optimizer.state[model.weight].values()} == {torch.float32}


@pytest.mark.parametrize('masked', [False, True])
def test_attention_is_computed_in_float32(masked):
    """Values and gradients are those of float32, rounded once."""
    torch.manual_seed(0)
    wrapper = build_optim_wrapper(
        nn.Linear(8, 4), dict(type='mmvidmae.CPUAmpOptimWrapper', optimizer=dict(type='AdamW'))
    )
    tensors = torch.randn(4, 2, 3, 50, 16, dtype=torch.bfloat16)
    mask = torch.randn(2, 3, 50, 50) if masked else None
    grad = torch.randn(2, 3, 50, 16, dtype=torch.bfloat16)
    results = []
    for ours in (True, False):
        leaves = [tensor.clone().requires_grad_() for tensor in tensors[:3]]
        if ours:
            with wrapper.optim_context(nn.Module()):
                out = F.scaled_dot_product_attention(*leaves, attn_mask=mask)
                assert (leaves[0] @ leaves[1].mT).dtype == torch.bfloat16
        else:
            out = F.scaled_dot_product_attention(*(leaf.float() for leaf in leaves), attn_mask=mask).bfloat16()
        assert out.dtype == torch.bfloat16
        results.append([out, *torch.autograd.grad(out, leaves, grad)])
    for ours, reference in zip(*results):
        assert torch.equal(ours, reference)


def test_gradient_checkpointing_gives_the_same_gradients():
    """A block runs again in the backward pass, with the same precision of attention."""
    gradients = []
    for with_cp in (False, True):
        torch.manual_seed(0)
        model = nn.Linear(16, 16)
        wrapper = build_optim_wrapper(model, dict(type='mmvidmae.CPUAmpOptimWrapper', optimizer=dict(type='AdamW')))

        def block(x: torch.Tensor, model: nn.Module = model) -> torch.Tensor:
            x = model(x)
            return F.scaled_dot_product_attention(x, x, x)

        with wrapper.optim_context(model):
            out = maybe_checkpoint(block, torch.randn(2, 3, 50, 16), with_cp=with_cp)
        wrapper.backward(out.float().square().mean())
        gradients.append(model.weight.grad)
    assert torch.equal(*gradients)
