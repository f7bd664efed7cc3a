"""A few steps of training, for the tests of the pre-training methods."""

import torch
from mmpretrain.models.selfsup.base import BaseSelfSupervisor
from mmpretrain.structures import DataSample
from torch import Tensor


def seeded_samples(*seeds: int) -> list[DataSample]:
    """Data samples with these seeds."""
    return [DataSample(metainfo=dict(seed=seed)) for seed in seeds]


def check_that_the_loss_falls(model: BaseSelfSupervisor, inputs: Tensor, names: set[str]) -> None:
    """Train on one batch ``(N, T, 3, H, W)``: the losses have these names, all parameters get a gradient, and the total
    falls by a fifth in 25 steps."""
    samples = seeded_samples(*range(len(inputs)))
    optimizer = torch.optim.AdamW(model.train().parameters(), lr=3e-3)
    totals = []
    for _ in range(25):
        losses = model(inputs, samples, mode='loss')
        assert {*losses} == names
        total, _ = model.parse_losses(losses)
        torch.testing.assert_close(total, sum(losses.values()))
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        totals.append(total.item())
    assert all(p.grad is not None for p in model.parameters() if p.requires_grad)
    assert totals[-1] < 0.8 * totals[0]
