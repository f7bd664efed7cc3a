"""CropMAE and ToBo: wrong models fail the comparison with the authors, and tiny ones learn."""

from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.registry import DefaultScope
from parity import check_file, cropmae
from torch import Tensor

from mmvidmae.datasets import PictureViews
from mmvidmae.models.selfsup import CropMAE, PairMAE, ToBo
from mmvidmae.registry import MODELS

DATA = Path(__file__).parents[1] / 'data' / 'parity'
BACKBONE = dict(
    arch=dict(embed_dims=48, num_layers=2, num_heads=3, feedforward_channels=96), img_size=(32, 32), patch_size=8
)
NECK = dict(decoder_dims=48, depth=2, num_heads=3, feedforward_channels=96)
PATCH, BOTTLENECK = ToBo.recipe['neck']['branches']


@pytest.fixture(autouse=True)
def scope():
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        yield


def build(model: type[PairMAE], **parts) -> PairMAE:
    parts = {**dict(backbone=BACKBONE, masking=dict(mask_ratio=(0.0, 0.75))), **parts}
    parts['neck'] = {**NECK, **parts.get('neck', {})}
    built = MODELS.build(dict(type=f'mmvidmae.{model.__name__}', **parts))
    built.init_weights()
    return built


def failures(name: str) -> set[str]:
    return {item.name for item in check_file(DATA / f'{name}.npz').differences if not item.passed}


class TestWrongModelsFail:
    @pytest.mark.parametrize(
        ('change', 'caught', 'right'),
        [
            (dict(order=('cross', 'self', 'ffn')), {'pred', 'l2g/loss'}, {'latent_frame2', 'decoder_q'}),
            (dict(memory_pos_embed=True), {'decoder_kv', 'loss'}, {'features_frame1', 'decoder_q'}),
            (dict(eps=1e-2), {'decoder_block0_out', 'loss_raw'}, {'decoder_kv', 'g2l/views'}),
        ],
    )
    def test_cropmae(self, monkeypatch, change, caught, right):
        monkeypatch.setattr(CropMAE, 'recipe', {**CropMAE.recipe, 'neck': {**CropMAE.recipe['neck'], **change}})
        failed = failures('cropmae')
        assert caught <= failed
        assert not right & failed

    @pytest.mark.parametrize(
        'change', [dict(interpolation='bicubic'), dict(shared_flip=True), dict(crops='independent')]
    )
    def test_views_of_cropmae(self, monkeypatch, change):
        class Wrong(PictureViews):
            def __init__(self, size, scale, **kwargs):
                super().__init__(size, scale, **{**kwargs, **change})

            def make(self, picture, boxes, coins):
                return super().make(picture, boxes, coins[:1].repeat(2) if self.shared_flip else coins)

        monkeypatch.setattr(cropmae, 'PictureViews', Wrong)
        assert {'g2l/views', 'g2l/views reversed'} <= failures('cropmae')

    @pytest.mark.parametrize(
        ('bottleneck', 'caught'),
        [
            (dict(cls_token=None), {'query_bottleneck', 'last_bottleneck', 'loss', 'raw/loss_bottleneck'}),
            (dict(memory=(0,)), {'block0_bottleneck', 'bottleneck/gradnorm/decoder_blocks.0.cattn.q.weight'}),
        ],
    )
    def test_tobo(self, monkeypatch, bottleneck, caught):
        branches = (PATCH, {**BOTTLENECK, **bottleneck})
        monkeypatch.setattr(ToBo, 'recipe', {**ToBo.recipe, 'neck': {**ToBo.recipe['neck'], 'branches': branches}})
        failed = failures('tobo')
        assert caught <= failed
        assert not {'query_patch', 'last_patch', 'loss_patch', 'latent_source'} & failed

    def test_a_class_token_without_gradient_in_tobo(self, monkeypatch):
        queries = ToBo.recipe['neck']['type'].rpartition('.')[2]
        decoder = MODELS.get(f'mmvidmae.{queries}')
        original = decoder._queries

        def detached(self, branch, tokens, *args):
            return original(
                self, branch, [token.detach() if branch.cls_token == 0 else token for token in tokens], *args
            )

        monkeypatch.setattr(decoder, '_queries', detached)
        failed = failures('tobo')
        assert 'bottleneck/gradnorm/cls_token' in failed
        assert not {'loss', 'pred_bottleneck'} & failed


def moving_squares(num: int) -> Tensor:
    """Normalized pairs of a bright square on a textured ground, which moves from the first frame to the second."""
    rng = np.random.default_rng(0)
    frames = torch.from_numpy(rng.normal(0, 0.3, (num, 1, 3, 32, 32))).float().repeat(1, 2, 1, 1, 1)
    for pair in frames:
        for frame in pair:
            top, left = rng.integers(0, 20, 2)
            frame[:, top : top + 12, left : left + 12] += 2
    return frames


@pytest.mark.parametrize('model', [CropMAE, ToBo])
def test_the_loss_falls(model):
    built, frames = build(model), moving_squares(8)
    built.neck.eval()  # no dropout
    optimizer = torch.optim.AdamW(built.parameters(), lr=2e-3)
    noise = torch.rand(8, 32)
    first = {name: float(loss.detach()) for name, loss in built.forward_pretrain(frames, noise).losses.items()}
    for _ in range(30):
        losses = built.forward_pretrain(frames, noise).losses
        optimizer.zero_grad()
        sum(losses.values()).backward()
        optimizer.step()
    assert all(p.grad is not None for p in built.parameters() if p.requires_grad)
    for name, value in first.items():
        assert float(losses[name].detach()) < 0.8 * value


def test_the_bottleneck_knows_the_source_by_its_class_token_alone():
    """Changing the patch tokens of the source changes the patch branch, and not the other one."""
    model = build(ToBo).eval()
    frames, noise = moving_squares(2), torch.rand(2, 32)
    masks = model.masking(noise, (4, 4))
    latent = model.backbone(frames, masks)
    changed = (torch.cat((latent[0][:, :1], latent[0][:, 1:].flip(1)), dim=1), latent[1])
    (patch, bottleneck), (other_patch, other_bottleneck) = (
        model.neck(tokens, masks, (4, 4)) for tokens in (latent, changed)
    )
    assert torch.equal(bottleneck, other_bottleneck)
    assert not torch.allclose(patch, other_patch)
    changed = (latent[0] + torch.eye(1, latent[0].shape[1])[..., None], latent[1])
    assert not torch.allclose(model.neck(changed, masks, (4, 4))[1], bottleneck)


@pytest.mark.parametrize(
    ('model', 'parts', 'message'),
    [
        (CropMAE, dict(masking=dict(mask_ratio=(0.0, 0.0))), 'hides nothing of frame 1'),
        (CropMAE, dict(masking=dict(type='mmvidmae.JointRandomMasking')), 'use PerFrameRandomMasking'),
        (
            ToBo,
            dict(neck=dict(branches=(PATCH, {**BOTTLENECK, 'cls_token': 2}))),
            r'over frames 0 to 1 \(num_frames=2\)',
        ),
        (ToBo, dict(backbone={**BACKBONE, 'with_cls_token': False}), 'encoder without class token'),
        (ToBo, dict(neck=dict(branches=(PATCH, PATCH))), 'one or more, with different names'),
    ],
)
def test_parts_that_do_not_fit_are_refused(model: type[PairMAE], parts: dict, message: str):
    with pytest.raises(ValueError, match=message) as error:
        build(model, **parts)
    assert '\n' not in str(error.value)
