"""Triton's kernels of ASAD on the CPU. ``test_fused_spatial_dropout.py`` runs this file in a process of its own, with
``TRITON_INTERPRET=1`` set before Triton is imported."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import triton
import triton.language as tl

from mmvidmae.models.layers import (
    SpatialDropAttention,
    fused_spatial_dropout,
    maybe_checkpoint,
    num_spatial_drops,
    spatial_drop_weights,
)
from mmvidmae.models.layers import spatial_dropout_kernels as kernels
from mmvidmae.models.layers.spatial_dropout import works
from mmvidmae.models.selfsup import DropMAE

assert os.environ['TRITON_INTERPRET'] == '1'
SEED = torch.tensor([7])


def tokens(length: int, samples: int = 1, heads: int = 1, dims: int = 16, number: int = 2, **kwargs):
    generator = torch.Generator().manual_seed(length)
    return torch.randn(number, samples, heads, length, dims, generator=generator).to(**kwargs)


def weights_of(q: torch.Tensor, k: torch.Tensor) -> torch.Tensor:
    return spatial_drop_weights((q @ k.mT * q.shape[-1] ** -0.5).softmax(-1))


def columns_of(mask: torch.Tensor) -> torch.Tensor:
    """The within-frame columns ``(..., L, h)`` of masks ``(..., L, L)``."""
    half = mask.shape[-1] // 2
    return torch.cat((mask[..., :half, :half], mask[..., half:, half:]), dim=-2)


@pytest.mark.parametrize(('length', 'ratio'), [(10, 1.0), (50, 0.5), (98, 0.1), (130, 0.9), (392, 0.1), (1568, 0.1)])
def test_the_smallest_keys_are_dropped(monkeypatch, length: int, ratio: float):
    """Number, place, and the choice itself, which is that of top-k from the same keys."""
    if length > 200:
        monkeypatch.setattr(kernels, 'ROWS', 1024)  # the interpreter takes its time for each tile
    q, k = 2 * tokens(length, dims=32)
    number = num_spatial_drops(ratio, length)
    drops, keys = kernels.draw(q, k, SEED, number)
    mask = fused_spatial_dropout.unpack(drops)
    half = length // 2
    assert mask.sum() == number
    assert not mask.diagonal(dim1=-2, dim2=-1).any()
    assert not mask[..., :half, half:].any()
    assert not mask[..., half:, :half].any()
    chosen = columns_of(mask).flatten()
    found = torch.zeros_like(chosen)
    found[keys[0, :, :half].flatten().topk(number, largest=False).indices] = True
    assert torch.equal(chosen, found)


def test_keys_are_independent_exponential_numbers_over_the_weights(monkeypatch):
    monkeypatch.setattr(kernels, 'ROWS', 1024)
    q, k = tokens(392, samples=1, heads=2)
    keys = kernels.draw(q, k, SEED, 100, programs=2)[1][..., :196]
    weights = weights_of(q, k)[0]
    rest = weights > 0
    assert keys[~rest].isinf().all()
    numbers = torch.where(rest, keys * weights, torch.nan)
    first, second = (matrix[~matrix.isnan()].double() for matrix in numbers)
    limit = 1.95 / len(first) ** 0.5  # of Kolmogorov and Smirnov, exceeded once in a thousand times
    for matrix in (first, second):
        ordered = (1 - (-matrix.sort().values).exp()).numpy()
        assert np.abs(ordered - np.arange(1, len(ordered) + 1) / len(ordered)).max() < limit
    for shift in (1, 2, 4, 195):  # neighbors, and the rows above each other
        assert abs(torch.corrcoef(torch.stack((first[shift:], first[:-shift])))[0, 1]) < 4 / len(first) ** 0.5
    assert abs(torch.corrcoef(torch.stack((first, second)))[0, 1]) < 4 / len(first) ** 0.5


def test_drops_follow_the_recorded_law():
    """Inclusion frequencies of the authors' sampler, from the same attention."""
    recorded = np.load(Path(__file__).parents[1] / 'data/parity/asad.npz')
    logits = torch.from_numpy(recorded['logits'])[:2]
    length, draws = logits.shape[-1], 16
    q = (length**0.5 * logits).expand(draws, -1, -1, -1).contiguous()
    k = torch.eye(length).expand_as(q).contiguous()
    number = int(recorded['mc/P0.3/n_drop'])
    drops, _ = kernels.draw(q, k, SEED, number)
    included = columns_of(fused_spatial_dropout.unpack(drops)).double()
    assert included.sum((-2, -1)).eq(number).all()
    share = torch.from_numpy(recorded['mc/P0.3/freq'])[:2].double()
    deviation = (share * (1 - share) * (1 / draws + 1 / int(recorded['mc/P0.3/draws']))).sqrt()
    usual = (share > 0.1) & (share < 0.9)
    scores = ((included.mean(0) - share) / deviation)[usual]
    assert 0.9 < scores.square().mean().sqrt() < 1.1
    assert scores.abs().max() < 5


def test_a_matrix_depends_on_the_seed_and_its_place_alone():
    q, k = tokens(34, samples=3)
    number = num_spatial_drops(0.3, 34)
    drops = kernels.draw(q, k, SEED, number)[0]
    assert torch.equal(kernels.draw(q, k, SEED, number)[0], drops)
    assert torch.equal(kernels.draw(q, k, SEED, number, programs=2)[0], drops)
    assert torch.equal(kernels.draw(q[:2], k[:2], SEED, number)[0], drops[:2])
    swapped = kernels.draw(q[[0, 2, 1]], k[[0, 2, 1]], SEED, number)[0]
    assert torch.equal(swapped[0], drops[0])
    assert not torch.equal(kernels.draw(q, k, SEED + 1, number)[0], drops)
    same = kernels.draw(*(tensor[:1].expand(2, 2, -1, -1) for tensor in (q, k)), SEED, number)[0]
    assert len(same.flatten(0, 1).flatten(1).unique(dim=0)) == 4  # each sample and head has its own


def test_of_equal_keys_only_as_many_as_needed_are_dropped(monkeypatch):
    @triton.jit
    def constant(seed, sample, head, row, first, quarters, ROWS: tl.constexpr, WORD: tl.constexpr):
        return tl.full((ROWS, WORD), 0.5, tl.float32)

    monkeypatch.setattr(kernels, 'uniform', constant)
    q = torch.zeros(1, 1, 150, 16)
    mask = fused_spatial_dropout.unpack(kernels.draw(q, q, SEED, 5000)[0])
    chosen = columns_of(mask).flatten()
    may = columns_of(torch.block_diag(*[1 - torch.eye(75)] * 2).bool()).flatten()
    assert chosen.sum() == 5000
    assert not chosen[~may].any()


@pytest.mark.parametrize(('length', 'dims'), [(34, 16), (50, 20), (98, 32)])
@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16])
def test_attention_and_gradients(length: int, dims: int, dtype: torch.dtype):
    q, k, v, grad = tokens(length, samples=1, heads=2, dims=dims, number=4, dtype=dtype)
    drops = fused_spatial_dropout.draw_spatial_drops(q, k, SEED, num_spatial_drops(0.5, length))
    mask = fused_spatial_dropout.unpack(drops)
    results = []
    for attend in (
        lambda *leaves: fused_spatial_dropout.spatial_drop_attention(*leaves, drops)[0],
        lambda *leaves: F.scaled_dot_product_attention(*leaves, attn_mask=~mask),
    ):
        leaves = [tensor.detach().clone().requires_grad_() for tensor in (q, k, v)]
        out = attend(*leaves)
        results.append([out, *torch.autograd.grad(out, leaves, grad)])
    limit = 1e-5 if dtype == torch.float32 else 2e-2
    for ours, reference in zip(*results):
        assert ours.dtype == dtype
        torch.testing.assert_close(ours, reference, rtol=limit, atol=limit)


def make_layer(**kwargs) -> SpatialDropAttention:
    torch.manual_seed(0)
    return SpatialDropAttention(32, num_heads=2, spatial_drop=0.3, asad_backend='triton', **kwargs)


def step(function, x: torch.Tensor, layer: SpatialDropAttention) -> list[torch.Tensor]:
    torch.manual_seed(5)
    x = x.clone().requires_grad_()
    out = function(x)
    return [out, *torch.autograd.grad(out.square().sum(), (x, *layer.parameters()))]


def test_the_layer_equals_that_of_pytorch_with_the_same_drops():
    layer, x = make_layer(), torch.randn(2, 34, 32)
    q, k, _ = layer.qkv(x).unflatten(2, (3, 2, 16)).permute(2, 0, 3, 1, 4)
    torch.manual_seed(5)
    seed = torch.randint(2**63 - 1, (1,))
    drops = fused_spatial_dropout.draw_spatial_drops(q, k, seed, num_spatial_drops(0.3, 34))
    expected = step(lambda x: layer(x, fused_spatial_dropout.unpack(drops)), x, layer)
    for ours, reference in zip(step(layer, x, layer), expected):
        torch.testing.assert_close(ours, reference, rtol=1e-5, atol=1e-5)
    assert not torch.equal(layer(x), layer(x))
    layer.eval()
    assert torch.equal(layer(x), layer(x))


def test_checkpointing_and_compilation_repeat_the_drops():
    layer, x = make_layer(), torch.randn(2, 34, 32)
    expected = step(layer, x, layer)
    compiled = torch.compile(layer, backend='aot_eager', fullgraph=True)
    for function in (lambda x: maybe_checkpoint(layer, x, with_cp=True), compiled):
        for ours, reference in zip(step(function, x, layer), expected):
            torch.testing.assert_close(ours, reference, rtol=1e-5, atol=1e-5)
    assert not torch.equal(compiled(x), compiled(x))


def test_the_operators_keep_their_contracts():
    """Schemas, fake results and gradients."""
    q, k, v = tokens(18, number=3)
    drops = fused_spatial_dropout.draw_spatial_drops(q, k, SEED, 30)
    torch.library.opcheck(fused_spatial_dropout.draw_spatial_drops, (q, k, SEED, 30))
    leaves = [tensor.clone().requires_grad_() for tensor in (q, k, v)]
    torch.library.opcheck(fused_spatial_dropout.spatial_drop_attention, (*leaves, drops))


def test_the_check_of_auto_runs_while_a_graph_is_built():
    device = torch.device('cpu')

    @torch.compile(backend='aot_eager', fullgraph=True)
    def function(x):
        return x + 1 if works(device, torch.bfloat16, 16) else x

    assert function(torch.zeros(1)) == 1


def test_a_wrong_kernel_does_not_pass_the_check(monkeypatch):
    right = kernels.attend
    monkeypatch.setattr(kernels, 'attend', lambda *given: (right(*given)[0] * 1.01, right(*given)[1]))
    with pytest.raises(RuntimeError, match='output differ by'):
        fused_spatial_dropout.check(torch.device('cpu'), torch.float32, 16)


def test_a_step_of_dropmae_in_mixed_precision():
    torch.manual_seed(0)
    arch = dict(embed_dims=48, num_layers=1, num_heads=3, feedforward_channels=96)
    neck = dict(decoder_dims=32, depth=2, num_heads=2, asad_backend='triton', with_cp=True)
    model = DropMAE(backbone=dict(arch=arch, img_size=64), neck=neck).train()
    assert model.neck.decoder_blocks[0].attn.spatial_drop == 0.1
    model.neck.spatial_drop = 0.3
    with torch.autocast('cpu', torch.bfloat16):
        loss = model.forward_pretrain(torch.randn(1, 2, 3, 64, 64)).loss
    loss.backward()
    assert loss.isfinite()
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.requires_grad)
