"""What only a GPU can show; nothing here needs files, PyAV or compiled mmcv.

``tools/benchmarks/gpu_report.py`` runs these tests, without the fixtures of the suite.
"""

import pytest
import torch
from mmengine.optim import AmpOptimWrapper
from torch import nn

from mmvidmae.models.layers import fused_spatial_dropout, num_spatial_drops
from mmvidmae.models.layers.spatial_dropout import SpatialDropAttention, uses_triton
from mmvidmae.models.masking import seeded_uniform
from mmvidmae.models.selfsup import DropMAE, SiamMAE

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a GPU'),
]
ARCH = dict(embed_dims=48, num_layers=2, num_heads=3, feedforward_channels=96)


def make_model(method: type[nn.Module], with_cp: bool = False) -> nn.Module:
    torch.manual_seed(0)
    backbone = dict(arch=ARCH, img_size=96, patch_size=8, with_cp=with_cp)
    return method(backbone=backbone, neck=dict(decoder_dims=48, depth=2, num_heads=3, with_cp=with_cp)).cuda().train()


def make_pairs(number: int = 4) -> torch.Tensor:
    return torch.randn(number, 2, 3, 96, 96, generator=torch.Generator().manual_seed(1)).cuda()


def test_masks_of_a_seed_are_those_of_the_cpu():
    seeds = torch.tensor([0, 1, -5, 2**62])
    assert torch.equal(seeded_uniform(seeds.cuda(), 300).cpu(), seeded_uniform(seeds, 300))


@pytest.mark.parametrize('dtype', [torch.float32, torch.float16, torch.bfloat16])
def test_drops_have_their_number_and_place(dtype):
    attention = SpatialDropAttention(48, 3, spatial_drop=0.2).cuda()
    q, k = torch.randn(2, 5, 3, 98, 16, device='cuda', dtype=dtype)
    drops = attention.sample_drop_mask(q, k)
    half = drops.unflatten(-1, (2, 49)).unflatten(-3, (2, 49))
    assert (drops.sum((-2, -1)) == num_spatial_drops(0.2, 98)).all()
    assert not half[..., 0, :, 1, :].any()
    assert not half[..., 1, :, 0, :].any()
    assert not drops.diagonal(dim1=-2, dim2=-1).any()
    assert not torch.equal(drops[:, 0], drops[:, 1])  # each head has its own


@pytest.mark.parametrize('dtype', [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize('dims', [20, 32, 64])
def test_kernels_of_asad_agree_with_pytorch(dtype, dims):
    fused_spatial_dropout.check(torch.device('cuda'), dtype, dims)


@pytest.mark.parametrize('tokens', [98, 392, 1568])
def test_kernels_of_asad_drop_the_right_number(tokens):
    q, k = torch.randn(2, 2, 3, tokens, 32, device='cuda', dtype=torch.bfloat16)
    seed = torch.zeros(1, dtype=torch.int64, device='cuda')
    assert uses_triton('auto', q)
    number = num_spatial_drops(0.1, tokens)
    drops = fused_spatial_dropout.draw_spatial_drops(q, k, seed, number)
    mask = fused_spatial_dropout.unpack(drops)
    assert (mask.sum((-2, -1)) == number).all()
    assert not mask.diagonal(dim1=-2, dim2=-1).any()
    assert torch.equal(drops, fused_spatial_dropout.draw_spatial_drops(q, k, seed, number))


@pytest.mark.parametrize('method', [DropMAE, SiamMAE])
def test_checkpointing_repeats_the_random_numbers(method):
    results = []
    for with_cp in (False, True):
        model = make_model(method, with_cp)
        torch.manual_seed(2)
        loss = model.forward_pretrain(make_pairs()).loss
        loss.backward()
        results.append((loss.item(), [p.grad for p in model.parameters() if p.grad is not None]))
    assert results[1][0] == pytest.approx(results[0][0], rel=1e-6)
    for plain, checkpointed in zip(*(gradients for _, gradients in results), strict=True):
        torch.testing.assert_close(checkpointed, plain, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize('dtype', ['float16', 'bfloat16'])
def test_training_steps_of_mmengine_in_mixed_precision(dtype):
    """From uint8 pairs on the CPU to a step, which learns something."""
    model = make_model(DropMAE)
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3, fused=True)
    wrapper = AmpOptimWrapper(dtype=dtype, optimizer=optimizer)
    inputs = (make_pairs().cpu() * 40 + 120).clamp(0, 255).byte()
    losses = [model.train_step(dict(inputs=list(inputs), data_samples=None), wrapper)['loss'] for _ in range(20)]
    losses = torch.stack(losses)
    assert losses.isfinite().all()
    assert losses[-5:].mean() < losses[:5].mean()
