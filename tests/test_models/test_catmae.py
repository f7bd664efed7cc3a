"""CatMAE: what each prediction reads, what its loss trains, and that a wrong model fails the parity check."""

from pathlib import Path

import pytest
import torch
from mmengine.registry import init_default_scope
from parity import check_file
from training import check_that_the_loss_falls, seeded_samples

from mmvidmae.models.necks import CrossPairDecoder
from mmvidmae.models.selfsup import CatMAE

PARITY = Path(__file__).parents[1] / 'data/parity/catmae.npz'
ARCH = dict(embed_dims=24, num_layers=2, num_heads=2, feedforward_channels=48)
NECK = dict(decoder_dims=32, depth=2, num_heads=4, feedforward_channels=64)


@pytest.fixture(autouse=True)
def scope():
    init_default_scope('mmpretrain')
    torch.manual_seed(0)


def build(neck: dict | None = None, **parts) -> CatMAE:
    masking = dict(mask_ratio=(0.0, 0.75, 0.75))
    backbone = dict(arch=ARCH, img_size=(16, 24), patch_size=4)
    model = CatMAE(**{'backbone': backbone, 'masking': masking, 'neck': {**NECK, **(neck or {})}, **parts})
    model.init_weights()
    return model


def test_the_loss_falls():
    check_that_the_loss_falls(build(), torch.randn(4, 3, 3, 16, 24), {'loss_second', 'loss_third'})


def test_the_weights_of_the_losses():
    model = build().eval()
    frames = torch.randn(2, 3, 3, 16, 24)
    out = model.forward_pretrain(frames)
    masks = out.mask.unflatten(1, (3, -1))
    for loss, pred, frame, weight in zip(out.losses.values(), out.preds, (1, 2), (0.8, 1.0)):
        raw = model.head.loss(pred, frames[:, frame : frame + 1], masks[:, frame])
        torch.testing.assert_close(loss, weight * raw)


def test_the_third_loss_trains_the_encoder_on_the_second_frame():
    model = build().eval()
    out = model.forward_pretrain(torch.randn(2, 3, 3, 16, 24))
    second = torch.autograd.grad(out.losses['loss_third'], out.latent[1], retain_graph=True)[0]
    assert second.abs().sum(-1).min() > 0, 'its class token and all of its visible tokens are read'
    with pytest.raises(RuntimeError, match='appears to not have been used'):
        torch.autograd.grad(out.losses['loss_second'], out.latent[2])


def test_frame_embeddings_mark_the_memory_only():
    model = build().eval()
    model.neck.memory_frame_embed.data.normal_()
    streams = []
    model.neck.decoder_blocks[0].register_forward_pre_hook(lambda _, args: streams.append(args))
    frames, noise = torch.randn(1, 3, 3, 16, 24), torch.rand(1, 72)
    model.forward_pretrain(frames, noise)
    embed = model.neck.memory_frame_embed.detach().clone()
    model.neck.memory_frame_embed.data.zero_()
    model.forward_pretrain(frames, noise)
    (query2, memory2), (query3, memory3), (plain_query2, plain2), (plain_query3, plain3) = streams
    assert torch.equal(query2, plain_query2)
    assert torch.equal(query3, plain_query3)
    torch.testing.assert_close(memory2 - plain2, embed[:, 0].expand_as(memory2))
    first, second = (memory3 - plain3).split([25, 7], dim=1)
    torch.testing.assert_close(first, embed[:, 0].expand_as(first))
    torch.testing.assert_close(second, embed[:, 1].expand_as(second))


def test_seeds_determine_the_masks():
    model, inputs = build().eval(), torch.randn(2, 3, 3, 16, 24)
    both = model(inputs, seeded_samples(5, 6), mode='predict')
    (alone,) = model(inputs[1:], seeded_samples(6), mode='predict')
    assert torch.equal(both[1].mask, alone.mask)
    torch.testing.assert_close(both[1].error, alone.error)
    (other,) = model(inputs[1:], seeded_samples(7), mode='predict')
    assert not torch.equal(other.mask, alone.mask)


@pytest.mark.parametrize(
    ('parts', 'message'),
    [
        (dict(masking=dict(mask_ratio=(0.0, 0.75))), 'is for clips of 2 frames, but num_frames=3'),
        (dict(num_frames=2, masking=dict(mask_ratio=(0.0, 0.75))), r'over frames 0 to 1 \(num_frames=2\)'),
        (dict(masking=dict(type='mmvidmae.JointRandomMasking')), 'fixed number of visible tokens'),
        (dict(masking=dict(mask_ratio=(0.0, 0.75, 0.0))), 'hides nothing of frame 2'),
        (
            dict(neck=dict(branches=[dict(targets=(1,), memory=())])),
            'memory_frame_embed must be False without memory frames',
        ),
    ],
)
def test_parts_that_do_not_fit_are_refused_when_the_model_is_built(parts, message):
    with pytest.raises(ValueError, match=message) as error:
        build(**parts)
    assert '\n' not in str(error.value)


def failures() -> set[str]:
    return {difference.name.split(':')[0] for difference in check_file(PARITY).differences if not difference.passed}


def change_branch(number: int, **changes) -> dict:
    """The method with a change of one branch."""
    neck = CatMAE.recipe['neck']
    branches = [dict(branch) for branch in neck['branches']]
    branches[number].update(changes)
    return {**CatMAE.recipe, 'neck': {**neck, 'branches': branches}}


class TestAWrongModelFailsTheParityCheck:
    def test_other_epsilon(self, monkeypatch):
        neck = {**CatMAE.recipe['neck'], 'eps': 1e-6}
        monkeypatch.setattr(CatMAE, 'recipe', {**CatMAE.recipe, 'neck': neck})
        assert failures() == {'probe/out'}

    def test_all_tokens_of_the_second_frame_in_the_memory(self, monkeypatch):
        monkeypatch.setattr(CatMAE, 'recipe', change_branch(1, memory_tokens='restored'))
        assert {'memory3', 'pred3', 'loss3', 'gradnorm/mask_token'} <= failures()

    def test_no_gradient_through_the_memory(self, monkeypatch):
        def detached(self, branch, tokens, masks, pos_embed, memory=CrossPairDecoder._memory):
            return memory(self, branch, [tokens[0], tokens[1].detach(), tokens[2]], masks, pos_embed)

        monkeypatch.setattr(CrossPairDecoder, '_memory', detached)
        failed = failures()
        assert {'gradnorm/patch_embed.proj.weight', 'only3/gradnorm/cls_token'} <= failed
        assert all('gradnorm' in name for name in failed)
