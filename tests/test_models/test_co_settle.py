"""Co-Settle: what trains, the cycle, shifted positions, encoders, its checkpoint in label propagation."""

from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner import load_checkpoint
from mmpretrain.structures import DataSample
from tiny_runs import build as build_runner
from tiny_runs import read_trace, tiny_config

from mmvidmae.engine.strategies.fsdp import shard
from mmvidmae.models.propagation import LabelPropagator
from mmvidmae.registry import MODELS

CONFIGS = Path(__file__).parents[2] / 'configs'
ARCH = dict(embed_dims=24, num_layers=2, num_heads=2, feedforward_channels=48)
OURS = dict(type='mmvidmae.PairMAEViT', arch=ARCH, img_size=(32, 48), patch_size=8)
THEIRS = dict(type='mmpretrain.VisionTransformer', arch=ARCH, img_size=32, patch_size=8)
ENCODERS = {
    'ours': OURS,
    'mmpretrain': THEIRS,
    'dinov2': THEIRS | dict(layer_scale_init_value=1e-5),
    'beit': dict(type='mmpretrain.BEiTViT', arch=ARCH, img_size=32, patch_size=8, use_abs_pos_emb=True),
}


@pytest.fixture(autouse=True)
def scope():
    init_default_scope('mmpretrain')
    torch.manual_seed(0)


def build(encoder: dict = OURS, **options):
    model = MODELS.build(dict(type='mmvidmae.CoSettle', backbone=dict(encoder=encoder), **options))
    model.init_weights()
    torch.nn.init.normal_(model.backbone.encoder.pos_embed, std=0.5)
    return model


def batch(model, num: int = 2) -> dict:
    height, width = (8 * side for side in model.backbone.patch_resolution)
    inputs = torch.randint(256, (num, 2, 3, height, width), dtype=torch.uint8)
    data_samples = [DataSample(metainfo=dict(seed=seed)) for seed in range(num)]
    return model.data_preprocessor(dict(inputs=inputs, data_samples=data_samples))


@pytest.mark.parametrize('encoder', ENCODERS)
def test_only_the_adapter_of_any_encoder_trains_and_the_loss_falls(encoder):
    model = build(ENCODERS[encoder]).train()
    assert (model.backbone.encoder.training, model.backbone.adapter.training) == (False, True)
    frozen = {name: value.clone() for name, value in model.backbone.encoder.state_dict().items()}
    params = {name: p for name, p in model.named_parameters() if p.requires_grad}
    assert params.keys() == {
        f'backbone.adapter.{part}' for part in ('linear.weight', 'linear.bias', 'ln.weight', 'ln.bias')
    }
    data = batch(model)
    optimizer = torch.optim.AdamW(params.values(), lr=1e-2)
    totals = []
    for _ in range(10):
        losses = model(**data, mode='loss')
        total, log = model.parse_losses(losses)
        torch.testing.assert_close(total, losses['loss_cycle'] + losses['loss_reg'])
        assert 0 <= log['cycle_accuracy'] <= 1
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        totals.append(total.item())
    assert totals[-1] < 0.9 * totals[0]
    assert all(torch.equal(value, frozen[name]) for name, value in model.backbone.encoder.state_dict().items())


def test_shifted_positions():
    model = build(shift_ratio=3)
    assert model.enlarged == (16, 24)
    corner = model.shifted_pos_embed(torch.tensor([0, 0]))
    assert corner.shape == (1, 24, 24)
    down, right = (model.shifted_pos_embed(torch.tensor(offset)).unflatten(1, (4, 6)) for offset in ([1, 0], [0, 1]))
    corner = corner.unflatten(1, (4, 6))
    assert torch.equal(corner[:, 1:], down[:, :-1])
    assert torch.equal(corner[:, :, 1:], right[:, :, :-1])
    own = model.backbone.encoder.pos_embed.clone()
    frames = torch.rand(1, 3, 32, 48)
    shifted = model.backbone.extract_frozen(frames, down.flatten(1, 2))
    assert not torch.allclose(shifted, model.backbone.extract_frozen(frames), atol=1e-3)
    assert torch.equal(model.backbone.encoder.pos_embed, own)
    assert torch.equal(model.backbone.extract_frozen(frames, own[:, 1:]), model.backbone.extract_frozen(frames))
    unshifted = build(shift_ratio=0)
    own = unshifted.backbone.encoder.pos_embed[:, 1:]
    torch.testing.assert_close(unshifted.shifted_pos_embed(torch.tensor([0, 0])), own)


def test_the_offset_follows_from_the_seeds():
    model = build()
    frames = torch.rand(1, 2, 3, 32, 48)
    offsets = [model._offset(frames, [DataSample(metainfo=dict(seed=seed))]).tolist() for seed in range(200)]
    assert offsets == [model._offset(frames, [DataSample(metainfo=dict(seed=seed))]).tolist() for seed in range(200)]
    rows, columns = zip(*offsets)
    assert (min(rows), max(rows)) == (0, 40)
    assert (min(columns), max(columns)) in [(low, high) for low in (0, 1) for high in (58, 59, 60)]
    data = batch(model)
    first, again = (model(**data, mode='loss')['loss_cycle'] for _ in range(2))
    assert torch.equal(first, again)


def test_the_cycle_loss_is_that_of_returning_to_the_own_cell():
    model = build(shift_ratio=0)
    out = model.forward_pretrain(torch.rand(2, 1, 3, 32, 48).expand(-1, 2, -1, -1, -1))
    there, back = out.transitions
    assert there.shape == (2, 6, 6)
    torch.testing.assert_close(there, back)
    own = (there @ back).diagonal(dim1=1, dim2=2)
    torch.testing.assert_close(out.cycle_loss, -own.log().mean(), rtol=1e-3, atol=0)
    assert out.accuracy > 1 / 6
    assert torch.equal(out.loss, out.cycle_loss + 3 * out.reg_loss)


def test_regularization_is_zero_at_the_frozen_features():
    for reg in ('kl', 'mse'):
        model = build(reg=reg)
        frozen = [torch.nn.functional.normalize(torch.rand(2, 24, 4, 6), dim=1) for _ in range(3)]
        torch.testing.assert_close(model._regularize(frozen, frozen), torch.tensor(0.0), atol=1e-5, rtol=0)
        assert model._regularize(frozen, [x.flip(1) for x in frozen]) > 1e-3


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(temperature=0), 'temperature must be above 0'),
        (dict(reg='l1'), "reg must be 'kl' or 'mse'"),
        (dict(shift_ratio=-1), 'shift_ratio must be at least 0'),
        (dict(reg_weight=-1), 'reg_weight must be at least 0'),
        (dict(backbone=dict(type='mmvidmae.PairMAEViT', arch=ARCH)), 'backbone must be an AdaptedViT'),
        (dict(backbone=dict(encoder=dict(OURS, img_size=8))), 'rows must be a whole number of at least 2'),
        (dict(backbone=dict(encoder=dict(OURS, out_type='raw'))), "out_type='featmap'"),
        (
            dict(backbone=dict(encoder=dict(type='mmpretrain.SwinTransformer', out_type='featmap'))),
            'out_type',
        ),
    ],
)
def test_bad_parts_are_refused(options, message):
    with pytest.raises((ValueError, TypeError), match=message):
        MODELS.build(dict(dict(type='mmvidmae.CoSettle', backbone=dict(encoder=OURS)), **options))


def test_its_checkpoint_loads_into_label_propagation(tmp_path):
    model = build()
    torch.save(model.state_dict(), tmp_path / 'cosettle.pth')
    propagator = LabelPropagator(dict(type='mmvidmae.AdaptedViT', encoder=OURS))
    load_checkpoint(propagator, str(tmp_path / 'cosettle.pth'), strict=True)
    video = torch.randint(256, (3, 3, 32, 48), dtype=torch.uint8)
    (features,) = propagator([video])
    (maps,) = model.backbone(propagator.data_preprocessor.normalize(video))
    torch.testing.assert_close(features, torch.nn.functional.normalize(maps, dim=1))


def test_a_run_with_its_recipe_pipeline(video_dir, tmp_path):
    cfg = tiny_config(video_dir, tmp_path / 'run', train_cfg__max_epochs=2, optim_wrapper__optimizer__lr=0.02)
    recipe = Config.fromfile(CONFIGS / 'cosettle/cosettle_vit-base-p16-mae_4xb128-amp-coslr-5e_k400.py')
    recipe.train_pipeline[2].size = (32, 48)
    cfg.train_dataloader.dataset.pipeline = recipe.train_pipeline
    cfg.model = dict(type='mmvidmae.CoSettle', backbone=dict(encoder=OURS))
    for part in ('val', 'test'):
        cfg[f'{part}_dataloader'] = cfg[f'{part}_cfg'] = cfg[f'{part}_evaluator'] = None
    cfg.custom_hooks += [dict(type='TraceHook')]
    build_runner(cfg).train()
    losses = [loss for loss, _ in read_trace(tmp_path / 'run').values()]
    assert len(losses) == 8
    assert sum(losses[4:]) < sum(losses[:4])


def test_the_frozen_weights_must_be_complete(tmp_path):
    weights = build().backbone.encoder.state_dict()
    for name, missing in (('whole', ''), ('part', 'layers.1.ln1.weight')):
        state = {f'backbone.{key}': value for key, value in weights.items() if key != missing}
        torch.save(state | {'neck.weight': torch.ones(1)}, tmp_path / f'{name}.pth')

    def make(name):
        init_cfg = dict(type='Pretrained', checkpoint=str(tmp_path / f'{name}.pth'), prefix='backbone.')
        model = MODELS.build(dict(type='mmvidmae.CoSettle', backbone=dict(encoder=dict(OURS, init_cfg=init_cfg))))
        model.init_weights()
        return model

    loaded = make('whole').backbone.encoder.state_dict()
    assert all(torch.equal(value, loaded[key]) for key, value in weights.items())
    with pytest.raises(ValueError, match=r'part\.pth does not fit PairMAEViT: missing 1 parameters \(layers\.1\.ln1'):
        make('part')


def test_one_graph():
    torch._dynamo.reset()
    models = []
    for compile in (False, dict(backend='eager', fullgraph=True)):
        torch.manual_seed(0)
        models.append(build(dict(OURS, arch=dict(ARCH, num_layers=1)), compile=compile))
    for _ in range(2):
        data = batch(models[0])
        with torch._dynamo.config.patch(error_on_recompile=True):
            losses = [model(**data, mode='loss') for model in models]
        for name, loss in losses[0].items():
            torch.testing.assert_close(losses[1][name], loss)


@pytest.mark.skipif(torch.cuda.is_available(), reason='compares with the model on the CPU')
def test_shifted_positions_survive_sharding():
    model = build()
    data = batch(model)
    expected = model(**data, mode='loss')
    dist.init_process_group('gloo', store=dist.HashStore(), rank=0, world_size=1)
    try:
        losses = shard(model)(**data, mode='loss')
    finally:
        dist.destroy_process_group()
    torch.testing.assert_close(losses, expected)
