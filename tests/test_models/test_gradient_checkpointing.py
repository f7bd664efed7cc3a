"""Gradient checkpointing: the same numbers from less memory."""

import pytest
import torch
from mmengine.registry import DefaultScope
from torch.utils.checkpoint import checkpoint

from mmvidmae.registry import MODELS

ARCH = dict(embed_dims=24, num_layers=3, num_heads=2, feedforward_channels=48)
DECODERS = {
    'DropMAE': dict(spatial_drop=0.3),
    'SiamMAE': dict(dropout=0.2),  # draws random numbers in every step of a block
    'PairMAE': dict(type='mmvidmae.FrameDecoder'),
}


def step(method: str, with_cp: bool) -> tuple[torch.Tensor, dict[str, torch.Tensor], int]:
    """Loss, gradients and kept bytes of a training step, always with the same weights, frames and random numbers."""
    torch.manual_seed(0)
    neck = dict(decoder_dims=32, depth=3, num_heads=4, with_cp=with_cp, **DECODERS[method])
    backbone = dict(arch=ARCH, img_size=(32, 48), patch_size=4, drop_path_rate=0.3, with_cp=with_cp)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        masking = dict(masking=dict(type='mmvidmae.PerFrameRandomMasking')) if method == 'PairMAE' else {}
        model = MODELS.build(dict(type=f'mmvidmae.{method}', backbone=backbone, neck=neck, **masking)).train()
    frames, kept = torch.randn(2, 2, 3, 32, 48), 0

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        nonlocal kept
        kept += tensor.nbytes * (not isinstance(tensor, torch.nn.Parameter))
        return tensor

    torch.manual_seed(1)
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        loss = model.forward_pretrain(frames).loss
    loss.backward()
    return loss.detach(), {name: p.grad for name, p in model.named_parameters() if p.requires_grad}, kept


@pytest.mark.parametrize('method', DECODERS)
def test_same_loss_and_gradients_from_less_memory(method):
    loss, gradients, kept = step(method, with_cp=False)
    loss_cp, gradients_cp, kept_cp = step(method, with_cp=True)
    assert torch.equal(loss, loss_cp)
    for name, gradient in gradients.items():
        assert torch.equal(gradient, gradients_cp[name]), name
    assert kept_cp < 0.4 * kept


@pytest.mark.parametrize('kind', ['OneStreamViT', 'MemoryMAEViT'])
def test_every_layer_of_the_other_encoders_is_recomputed(kind, monkeypatch):
    """Those that eliminate tokens, and the last one, which runs for a part of the tokens alone."""
    from mmvidmae.models.layers import gradient_checkpointing

    results = {}
    for with_cp in (False, True):
        calls = []
        monkeypatch.setattr(
            gradient_checkpointing,
            'checkpoint',
            lambda *args, calls=calls, **options: calls.append(1) or checkpoint(*args, **options),
        )
        torch.manual_seed(0)
        options = dict(template_size=16, search_size=32, ce_loc=(1,), ce_keep_ratio=(0.6,))
        options = options if kind == 'OneStreamViT' else dict(img_size=32)
        encoder = MODELS.build(
            dict(type=f'mmvidmae.{kind}', arch=ARCH, patch_size=8, drop_path_rate=0.3, with_cp=with_cp, **options)
        ).train()
        if kind == 'OneStreamViT':
            inputs = torch.randn(2, 3, 16, 16), torch.randn(2, 3, 32, 32)
        else:
            inputs = torch.randn(2, 16, 24), torch.randn(2, 16, 24)
        torch.manual_seed(1)
        out = encoder(*inputs)
        (out if torch.is_tensor(out) else out.search).square().sum().backward()
        assert len(calls) == (3 if with_cp else 0)
        results[with_cp] = {name: p.grad for name, p in encoder.named_parameters() if p.grad is not None}
    assert len(results[False]) > 30
    for name, gradient in results[False].items():
        assert torch.equal(gradient, results[True][name]), name


def test_nothing_is_recomputed_without_gradients(monkeypatch):
    calls = []
    monkeypatch.setattr(
        'mmvidmae.models.layers.gradient_checkpointing.checkpoint', lambda *args, **kwargs: calls.append(args)
    )
    with DefaultScope.overwrite_default_scope('mmpretrain'), torch.no_grad():
        encoder = MODELS.build(dict(type='mmvidmae.PairMAEViT', arch=ARCH, img_size=32, patch_size=8, with_cp=True))
        (features,) = encoder(torch.randn(1, 3, 32, 32))
    assert features.shape == (1, 24, 4, 4)
    assert not calls
