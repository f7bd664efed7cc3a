"""Mixed precision on CPUs."""

import torch
from mmengine.optim import build_optim_wrapper
from torch import nn

import mmvidmae  # noqa: F401


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
