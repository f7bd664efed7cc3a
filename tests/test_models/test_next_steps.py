"""Next steps of DropMAE and SiamMAE as lines of configs: dropout strategies, P by schedule, other first weights."""

import re
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.optim import build_optim_wrapper
from mmengine.registry import HOOKS, DefaultScope
from mmengine.runner import Runner
from mmpretrain.models.backbones import VisionTransformer
from mmpretrain.models.utils import resize_pos_embed
from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample

from mmvidmae.converters import convert_state_dict

CONFIGS = Path(__file__).resolve().parents[2] / 'configs'
ARCH = dict(embed_dims=24, num_layers=2, num_heads=2, feedforward_channels=48)


@pytest.fixture(autouse=True)
def _scope():
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        yield


def tiny(path: Path) -> Config:
    config = Config.fromfile(path)
    patch_size = config.model.backbone.patch_size // 2
    config.model.backbone.update(arch=ARCH, img_size=4 * patch_size, patch_size=patch_size)
    config.model.neck.update(decoder_dims=16, depth=2, num_heads=2)
    if config.model.type == 'mmvidmae.SiamMAE':
        config.model.masking = dict(mask_ratio=(0.0, 0.75))
    return config


def train_a_step(config: Config, model) -> None:
    """One step with the optimizer of the config."""
    side = config.model.backbone.img_size
    before = {name: value.clone() for name, value in model.named_parameters()}
    loss = model.train().forward_pretrain(torch.randn(2, 2, 3, side, side)).loss
    assert loss.isfinite()
    loss.backward()
    torch.optim.AdamW(model.parameters(), lr=config.optim_wrapper.optimizer.lr).step()
    still = [
        name for name, value in model.named_parameters() if value.requires_grad and torch.equal(value, before[name])
    ]
    assert not still


@pytest.mark.parametrize('strategy', ['uniform', 'match', 'row'])
def test_dropout_strategies_train(strategy):
    (path,) = (CONFIGS / 'dropmae/ablations').glob(f'*-drop-{strategy}_*.py')
    config = tiny(path)
    model = MODELS.build(config.model)
    model.init_weights()
    assert {block.attn.drop_strategy for block in model.neck.decoder_blocks} == {strategy}
    train_a_step(config, model)


def test_p_by_schedule(tmp_path):
    """P of all blocks follows the hook of the config, in a run that trains."""
    (path,) = (CONFIGS / 'dropmae/ablations').glob('*-drop-schedule_*.py')
    config = tiny(path)
    (hook,) = [hook for hook in config.custom_hooks if hook.type == 'mmvidmae.AttributeScheduleHook']
    built = HOOKS.build(hook)
    for epoch, ratio in {0: 0.0, 100: 0.1, 200: 0.2, 399: 0.2}.items():
        assert built.value_at(epoch) == pytest.approx(ratio)
    seen = []

    @HOOKS.register_module(force=True)
    class Watch(Hook):
        priority = 'VERY_LOW'

        def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
            blocks = runner.model.neck.decoder_blocks
            assert outputs['loss'].isfinite()
            seen.append({block.attn.spatial_drop for block in blocks})

    hook.end = 2
    clip = dict(inputs=torch.zeros(2, 3, 32, 32, dtype=torch.uint8), data_samples=DataSample())
    runner = Runner(
        config.model,
        str(tmp_path),
        train_dataloader=dict(
            dataset=[clip] * 2,
            batch_size=2,
            sampler=dict(type='DefaultSampler', shuffle=False),
            collate_fn=dict(type='default_collate'),
        ),
        train_cfg=dict(by_epoch=True, max_epochs=3),
        optim_wrapper=dict(optimizer=dict(type='AdamW', lr=1e-3)),
        custom_hooks=[hook, dict(type='Watch')],
        default_scope='mmpretrain',
        experiment_name=tmp_path.name,
    )
    runner.train()
    assert seen == [{0.0}, {0.1}, {0.2}]
    with pytest.raises(ValueError, match=r'spatial_drop must be a share'):
        runner.model.neck.spatial_drop = 1.5


STARTS = sorted(path for path in CONFIGS.glob('*/ablations/*-from-*.py'))


@pytest.mark.parametrize('path', STARTS, ids=lambda path: path.stem.partition('_16')[0])
def test_starts_from_other_weights(path, tmp_path):
    """The encoder begins with the weights of the file, also where it has another grid and a class token less."""
    config = tiny(path)
    backbone = config.model.backbone
    kind = path.stem.partition('-from-')[2].partition('_')[0]
    torch.manual_seed(0)
    side = backbone.img_size * (2 if kind == 'dinov2' else 1)
    scale = dict(layer_scale_init_value=1e-5) if kind == 'dinov2' else {}
    theirs = VisionTransformer(dict(ARCH), side, backbone.patch_size, **scale)
    theirs.pos_embed.data.normal_()
    state = {f'backbone.{name}': value for name, value in theirs.state_dict().items()}
    if kind in ('mae', 'dino'):  # as their authors publish it, and converted as the config says
        original = convert_state_dict(state, target='timm').state_dict
        if kind == 'mae':
            original |= {'mask_token': torch.zeros(1, 1, 16), 'decoder_blocks.0.attn.qkv.weight': torch.zeros(48, 16)}
        conversion = convert_state_dict(original, encoder_only=True)
        state = conversion.state_dict
        assert '--encoder-only' in path.read_text()
    assert backbone.init_cfg.checkpoint.startswith(f'checkpoints/{kind}_vit-')
    backbone.init_cfg.checkpoint = str(tmp_path / 'theirs.pth')
    torch.save(dict(state_dict=state), backbone.init_cfg.checkpoint)

    model = MODELS.build(config.model)
    model.init_weights()
    ours = model.backbone.state_dict()
    same = {name for name in ours.keys() & theirs.state_dict().keys() if name != 'pos_embed'}
    assert ours.keys() - same == {'pos_embed'} | ({'frame_embed'} if 'dropmae' in path.stem else set())
    assert all(torch.equal(ours[name], theirs.state_dict()[name]) for name in same)
    positions = theirs.pos_embed
    if kind == 'dinov2':
        positions = resize_pos_embed(positions, (8, 8), (4, 4), 'bicubic', 1)
    torch.testing.assert_close(ours['pos_embed'], positions[:, -ours['pos_embed'].shape[1] :])
    train_a_step(config, model)
    full = Config.fromfile(path)
    assert full.optim_wrapper.optimizer.lr == pytest.approx(
        Config.fromfile(base_of(path)).optim_wrapper.optimizer.lr / 10
    )


@pytest.mark.parametrize('method', ['dropmae', 'siammae'])
def test_small_start_is_dinov2_on_single_frames_and_trains(method, tmp_path):
    """The features are those of the start, positions aside, and the encoder's rate is a fiftieth of the decoder's."""
    config = Config.fromfile(CONFIGS / f'small/{method}_vit-small-p14-dinov2_1xb8-coslr-20e_clips.py')
    config.model.backbone.arch = dict(embed_dims=24, num_layers=2, num_heads=2, feedforward_channels=48)
    config.model.neck.update(decoder_dims=24, depth=1, num_heads=2)
    frozen = Config.fromfile(CONFIGS / '_base_/models/frozen/dinov2-vit-small-p14.py').encoder
    theirs = MODELS.build(frozen | dict(arch=config.model.backbone.arch))
    theirs.pos_embed.data.normal_()
    state = {f'backbone.{name}': value for name, value in theirs.state_dict().items()}
    config.model.backbone.init_cfg.checkpoint = str(tmp_path / 'theirs.pth')
    torch.save(dict(state_dict=state), tmp_path / 'theirs.pth')
    model = MODELS.build(config.model)
    model.init_weights()
    theirs.pos_embed.data[:] = 0
    encoder = model.backbone.eval()
    positions, encoder.pos_embed.data = encoder.pos_embed.data, torch.zeros_like(encoder.pos_embed)
    frames = torch.randn(2, 3, 112, 112)
    torch.testing.assert_close(encoder(frames)[0], theirs.eval()(frames)[0])
    encoder.pos_embed.data = positions
    wrapper = build_optim_wrapper(model, config.optim_wrapper)
    rates = {group['part']: group['lr'] for group in wrapper.optimizer.param_groups}
    assert rates['backbone'] == pytest.approx(rates['neck'] / 50) == pytest.approx(1e-5)
    train_a_step(config, model)


def base_of(path: Path) -> Path:
    """The recipe that a config inherits."""
    (base,) = re.findall(r"_base_ = '\.\./(.*)'", path.read_text())
    return path.parents[1] / base
