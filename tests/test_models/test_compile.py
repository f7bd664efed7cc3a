"""torch.compile of the training step: one graph, once, and the same numbers."""

import pytest
import torch
from mmengine.registry import DefaultScope
from mmpretrain.structures import DataSample
from torch import nn

from mmvidmae.registry import MODELS

ARCH = dict(embed_dims=24, num_layers=2, num_heads=2, feedforward_channels=48)


def build(method: str, compile: bool | dict) -> nn.Module:
    torch.manual_seed(0)
    parts = dict(
        backbone=dict(arch=ARCH, img_size=(32, 48), patch_size=4, drop_path_rate=0.3),
        neck=dict(decoder_dims=32, depth=2, num_heads=4),
    )
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        return MODELS.build(dict(type=f'mmvidmae.{method}', compile=compile, **parts)).train()


def steps(model: nn.Module) -> list[tuple[torch.Tensor, dict[str, torch.Tensor]]]:
    """Losses and gradients of three steps with different pairs, masks and drops."""
    results = []
    for number in range(3):
        torch.manual_seed(number)
        samples = [DataSample(metainfo=dict(seed=2 * number + i)) for i in range(2)]
        loss = sum(model(torch.randn(2, model.num_frames, 3, 32, 48), samples, mode='loss').values())
        loss.backward()
        results.append((loss.detach(), {n: p.grad.clone() for n, p in model.named_parameters() if p.requires_grad}))
        model.zero_grad()
    return results


@pytest.mark.parametrize(
    ('method', 'with_cp'),
    [('DropMAE', False), ('DropMAE', True), ('SiamMAE', False), ('SiamMAE', True), ('CatMAE', False), ('RSP', False)],
)
def test_one_graph_gives_the_same_losses_and_gradients(method, with_cp):
    torch._dynamo.reset()
    compiled = build(method, compile=dict(backend='aot_eager', fullgraph=True))  # without a break, or an error
    compiled.backbone.with_cp = compiled.neck.with_cp = with_cp
    with torch._dynamo.config.patch(error_on_recompile=True):
        ours = steps(compiled)
    for (loss, gradients), (expected_loss, expected) in zip(ours, steps(build(method, compile=False))):
        torch.testing.assert_close(loss, expected_loss)
        for name, gradient in expected.items():
            torch.testing.assert_close(gradients[name], gradient, rtol=1e-4, atol=1e-6, msg=name)
