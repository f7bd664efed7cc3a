"""The baseline on single frames, as configs/small/mae_vit-tiny6-p8_1xb8-coslr-20e_clips.py has it."""

from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope

from mmvidmae.registry import MODELS

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def mae():
    init_default_scope('mmpretrain')
    torch.manual_seed(0)
    config = Config.fromfile(ROOT / 'configs/small/mae_vit-tiny6-p8_1xb8-coslr-20e_clips.py').model
    config.backbone.update(
        arch=dict(embed_dims=24, num_layers=2, num_heads=2, feedforward_channels=48), img_size=32, patch_size=4
    )
    config.neck.update(decoder_dims=32, depth=2, num_heads=2)
    model = MODELS.build(config)
    model.init_weights()
    return model


def test_nothing_of_the_other_frame_is_seen(mae):
    frames = torch.randn(2, 2, 3, 32, 32)
    other = torch.stack((torch.randn(2, 3, 32, 32), frames[:, 1]), dim=1)
    noise = torch.rand(2, 128)
    noise_of_other = torch.cat((torch.rand(2, 64), noise[:, 64:]), dim=1)
    one, two = mae.forward_pretrain(frames, noise), mae.forward_pretrain(other, noise_of_other)
    assert torch.equal(one.pred[:, 64:], two.pred[:, 64:])
    assert not torch.allclose(one.pred[:, :64], two.pred[:, :64])
    assert one.mask.unflatten(1, (2, 64)).sum(-1).eq(48).all(), '75 % of each frame'

    swapped = mae.forward_pretrain(frames.flip(1), noise.roll(64, 1))
    torch.testing.assert_close(swapped.pred.roll(64, 1), one.pred, msg='both frames are treated alike')


def test_hidden_pixels_do_not_matter_and_visible_ones_do(mae):
    frames, noise = torch.randn(1, 2, 3, 32, 32), torch.rand(1, 128)
    frames.requires_grad_()
    out = mae.forward_pretrain(frames, noise)
    (gradient,) = torch.autograd.grad(out.pred[:, 64:].sum(), frames)
    patches = mae.head.patchify(gradient).abs().sum(-1)
    assert (patches[:, 64:] > 0).equal(out.mask[:, 64:] == 0)
    assert not patches[:, :64].any()


def test_its_encoder_is_that_of_siammae(mae):
    """Same parameters: one evaluation takes both."""
    config = Config.fromfile(ROOT / 'configs/small/siammae_vit-tiny6-p8_1xb8-coslr-20e_clips.py').model
    config.backbone.update(
        arch=dict(embed_dims=24, num_layers=2, num_heads=2, feedforward_channels=48), img_size=32, patch_size=4
    )
    MODELS.build(config).backbone.load_state_dict(mae.backbone.state_dict())
