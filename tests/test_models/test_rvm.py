"""RVM: what the recurrent core reads, time offsets, videos in parts, training, compilation."""

import math
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner import load_checkpoint
from mmpretrain.structures import DataSample
from tiny_runs import build as build_runner
from tiny_runs import read_trace, tiny_config

from mmvidmae.models.layers import build_1d_sincos_pos_embed
from mmvidmae.models.propagation import LabelPropagator
from mmvidmae.registry import MODELS

CONFIGS = Path(__file__).parents[2] / 'configs'
ARCH = dict(embed_dims=24, num_layers=2, num_heads=2, feedforward_channels=48)
BRANCHES = tuple(dict(targets=(t,), memory=(0, 1), weight=0.5, name=f'frame{t}') for t in (2, 3))
CORE = dict(depth=1, num_heads=2)


@pytest.fixture(autouse=True)
def scope():
    init_default_scope('mmpretrain')
    torch.manual_seed(0)


def build(**parts):
    backbone = dict(arch=ARCH, img_size=(16, 24), patch_size=4, num_sources=2, core=CORE) | parts.pop('backbone', {})
    neck = dict(decoder_dims=32, depth=2, num_heads=4, branches=BRANCHES) | parts.pop('neck', {})
    masking = dict(mask_ratio=(0.0, 0.0, 0.9, 0.9)) | parts.pop('masking', {})
    config = dict(type='mmvidmae.RVM', num_frames=4, backbone=backbone, neck=neck, masking=masking) | parts
    model = MODELS.build(config)
    model.init_weights()
    return model


def samples(*frame_ids: tuple[int, ...]) -> list[DataSample]:
    return [DataSample(metainfo=dict(seed=i, frame_ids=ids)) for i, ids in enumerate(frame_ids)]


def test_training_lowers_the_loss_with_gradients_everywhere():
    model = build()
    inputs = torch.randint(256, (2, 4, 3, 16, 24), dtype=torch.uint8)
    data = model.data_preprocessor(dict(inputs=inputs, data_samples=samples((0, 1, 20, 30), (5, 6, 9, 60))))
    torch.testing.assert_close(data['inputs'], inputs / 255)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=3e-3)
    totals = []
    for _ in range(12):
        losses = model(**data, mode='loss')
        assert losses.keys() == {'loss_frame2', 'loss_frame3'}
        total = sum(losses.values())
        optimizer.zero_grad()
        total.backward()
        assert not [name for name, p in model.named_parameters() if p.requires_grad and p.grad is None]
        optimizer.step()
        totals.append(total.item())
    assert totals[-1] < 0.5 * totals[0]


def test_states_follow_the_frames_before_and_nothing_else():
    model = build().eval()
    frames, noise = torch.rand(1, 4, 3, 16, 24), torch.rand(1, 4 * 24)
    before = model.forward_pretrain(frames, noise)
    for changed in range(4):
        other = frames.clone()
        other[:, changed] = torch.rand(1, 3, 16, 24)
        after = model.forward_pretrain(other, noise)
        same = [torch.equal(a, b) for a, b in zip(before.latent, after.latent)]
        expected = [frame < changed or (frame >= 2 and frame != changed) for frame in range(4)]
        assert same == expected
        assert [torch.equal(a, b) for a, b in zip(before.preds, after.preds)] == [changed == 3, changed == 2]


def test_offsets_come_from_the_frame_numbers():
    model = build().eval()
    frames = torch.rand(2, 4, 3, 16, 24)
    given = samples((3, 4, 5, 50), (10, 12, 13, 73))
    assert model._offsets(frames, given).tolist() == [[0, 1, 2, 47], [0, 2, 3, 63]]
    assert model._offsets(frames, [DataSample()] * 2) is None
    noise = torch.rand(2, 4 * 24)
    default = model.forward_pretrain(frames, noise)
    consecutive = model.forward_pretrain(frames, noise, offsets=torch.arange(4).expand(2, -1))
    later = model.forward_pretrain(frames, noise, offsets=torch.tensor([[0, 1, 2, 9]] * 2))
    assert torch.equal(default.preds[1], consecutive.preds[1])
    assert torch.equal(default.preds[0], later.preds[0])
    assert not torch.allclose(default.preds[1], later.preds[1])
    for wrong in ((0, 1, 2, 64), (5, 1, 2, 3)):
        with pytest.raises(ValueError, match=rf'{wrong[0]}, 1, 2, {wrong[3]}.*0 to 63 frames.*num_offsets'):
            model(frames, samples((0, 1, 2, 3), wrong), mode='loss')


@pytest.mark.parametrize(
    ('parts', 'message'),
    [
        (dict(masking=dict(mask_ratio=(0.0, 0.5, 0.9, 0.9))), 'frame 1: set its mask_ratio to 0'),
        (dict(masking=dict(type='mmvidmae.PerFrameRandomMasking', mask_ratio=0.5)), 'frame 0: set its mask_ratio to 0'),
        (dict(masking=dict(mask_ratio=(0.0, 0.9))), 'clips of 2 frames, but num_frames=4'),
        (dict(num_frames=2), 'frames 0 to 1'),
        (dict(backbone=dict(encoding='joint')), "encoding must be 'siamese'"),
        (dict(backbone=dict(out_indices=(0, 1))), 'the last layer only'),
        (dict(neck=dict(branches=(dict(targets=(1,), memory=(0,)),))), 'hides nothing of frame 1'),
        (dict(neck=dict(num_offsets=-1)), 'num_offsets must be a whole number'),
    ],
)
def test_parts_that_do_not_fit_are_refused(parts, message):
    with pytest.raises(ValueError, match=message):
        build(**parts)


def test_a_clip_without_targets_and_a_backbone_without_core_are_refused():
    branch = dict(targets=(1,), memory=(0,))
    with pytest.raises(ValueError, match='num_sources must be below num_frames=2'):
        build(num_frames=2, masking=dict(mask_ratio=(0.0, 0.9)), neck=dict(branches=(branch,)))
    with pytest.raises(ValueError, match='a RecurrentViT'):
        MODELS.build(
            dict(type='mmvidmae.RVM', backbone=dict(type='mmvidmae.PairMAEViT', arch=ARCH, encoding='siamese'))
        )
    with pytest.raises(ValueError, match='num_heads=5'):
        MODELS.build(dict(type='mmvidmae.RecurrentViT', arch=ARCH, core=dict(num_heads=5)))
    model = build()
    masks = model.masking(torch.rand(1, 96), (4, 6))
    with pytest.raises(ValueError, match='reads the first 2 frames whole'):
        model.backbone(torch.rand(1, 4, 3, 16, 24), masks[::-1])


def test_a_video_in_parts_is_the_whole_video():
    backbone = build().backbone.eval()
    video = torch.rand(7, 3, 16, 24)
    whole, last = backbone.forward_video(video)
    assert whole.shape == (7, 24, 4, 6)
    parts, state = [], None
    for part in video.split(3):
        features, state = backbone.forward_video(part, state)
        parts.append(features)
    torch.testing.assert_close(torch.cat(parts), whole)
    torch.testing.assert_close(state, last)
    again, _ = backbone.forward_video(video)
    assert torch.equal(whole, again), 'nothing of a video is left for the next one'
    torch.testing.assert_close(backbone(video[:1])[0], whole[:1])
    clip = torch.stack(backbone(video[None]))[:, 0, 1:].mT.unflatten(2, (4, 6))
    torch.testing.assert_close(clip, whole)


def test_propagation_runs_the_core_through_the_video(tmp_path):
    model = build()
    torch.save(model.state_dict(), tmp_path / 'rvm.pth')
    backbone = dict(type='mmvidmae.RecurrentViT', arch=ARCH, img_size=(16, 24), patch_size=4, num_sources=2, core=CORE)
    plain = dict(mean=[0.0] * 3, std=[255.0] * 3)
    propagators = [LabelPropagator(backbone, batch_size=size, data_preprocessor=plain) for size in (1, 4)]
    for propagator in propagators:
        load_checkpoint(propagator, str(tmp_path / 'rvm.pth'), strict=True)
    video = torch.randint(256, (9, 3, 16, 24), dtype=torch.uint8)
    states, _ = model.backbone.eval().forward_video(video / 255)
    expected = torch.nn.functional.normalize(states, dim=1)
    for propagator in propagators:
        (features,) = propagator([video])
        torch.testing.assert_close(features, expected, atol=1e-5, rtol=0)
        (again,) = propagator([video])
        assert torch.equal(features, again)
    backward, _ = model.backbone.forward_video(video.flip(0) / 255)
    assert not torch.allclose(backward.flip(0), states, atol=1e-3), 'the order of frames counts'


def test_a_run_with_its_recipe_pipeline_is_scored_with_plain_pixels(video_dir, davis, tmp_path, monkeypatch):
    cfg = tiny_config(video_dir, tmp_path / 'run', 'RVM', train_cfg__max_epochs=2, train_cfg__val_interval=2)
    pipeline = Config.fromfile(CONFIGS / 'rvm/rvm_vit-small-p16_32xb32-amp-coslr-400e_k400.py').train_pipeline
    pipeline[2].size = 32
    for loader in (cfg.train_dataloader, cfg.val_dataloader):
        loader.dataset.pipeline = pipeline
    scored = dict(
        type='mmvidmae.PropagationEvalHook',
        dataset=dict(
            type='mmvidmae.DAVISDataset',
            data_root=str(davis),
            pipeline=[
                dict(type='mmvidmae.LoadVideoFrames', divisor=8),
                dict(type='mmvidmae.PackVideoSequence'),
            ],
        ),
        metric=dict(type='mmvidmae.VideoSegmentationMetric'),
        before_train=False,
    )
    cfg.custom_hooks += [dict(type='TraceHook'), scored]
    cfg.model.masking = dict(mask_ratio=(0.0,) * 4 + (0.75,) * 4)
    seen = []
    test_step = LabelPropagator.test_step

    def spy(propagator, batch):
        seen.append([buffer.flatten().tolist() for buffer in propagator.data_preprocessor.buffers()])
        return test_step(propagator, batch)

    monkeypatch.setattr(LabelPropagator, 'test_step', spy)
    build_runner(cfg).train()
    losses = [loss for loss, _ in read_trace(tmp_path / 'run').values()]
    assert len(losses) == 8
    assert all(0 < loss < 1 for loss in losses)
    assert list((tmp_path / 'run').rglob('*.jpg')) + list((tmp_path / 'run').rglob('*.png'))
    assert seen
    assert all(buffers == [[0.0] * 3, [255.0] * 3] for buffers in seen)


def test_positions_of_the_flattened_grid():
    table = build_1d_sincos_pos_embed(6, 8, cls_token=True)[0]
    assert table[:2].tolist() == [[0.0] * 8, [0.0, 1.0] * 4]
    torch.testing.assert_close(table[3, 2:4], torch.tensor([math.sin(0.2), math.cos(0.2)]))
    model = build()
    assert not {'backbone.pos_embed', 'neck.decoder_pos_embed'} & model.state_dict().keys()
    assert torch.equal(model.backbone.positions((4, 6)), build_1d_sincos_pos_embed(24, 24))
    assert model.backbone.positions((6, 8)).shape == (1, 48, 24)
    assert model.forward_pretrain(torch.rand(1, 4, 3, 24, 32)).pred.shape == (1, 48, 48)


def test_one_graph():
    torch._dynamo.reset()
    small = dict(
        num_frames=3,
        masking=dict(mask_ratio=(0.0, 0.0, 0.9)),
        neck=dict(depth=1, branches=[dict(targets=(2,), memory=(0, 1))]),
    )
    models = []
    for compile in (False, dict(backend='eager', fullgraph=True)):
        torch.manual_seed(0)
        models.append(build(compile=compile, backbone=dict(arch=ARCH | dict(num_layers=1)), **small).eval())
    with torch._dynamo.config.patch(error_on_recompile=True):
        for last in (9, 10):
            frames = torch.rand(2, 3, 3, 16, 24)
            losses = [model(frames, samples((0, 1, last), (5, 6, 60)), mode='loss') for model in models]
            torch.testing.assert_close(losses[1]['loss'], losses[0]['loss'])
