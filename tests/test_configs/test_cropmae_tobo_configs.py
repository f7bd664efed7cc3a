"""Configs of CropMAE and ToBo and the next steps of SiamMAE: numbers, names, and a training step on real clips."""

import re
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DATASETS, DefaultScope
from mmpretrain.registry import MODELS

from mmvidmae.datasets import SampleIndex, pair_collate
from mmvidmae.engine.check_config import check_config

CONFIGS = Path(__file__).resolve().parents[2] / 'configs'
METHODS = [path for method in ('cropmae', 'tobo') for path in sorted((CONFIGS / method).rglob('*.py'))]
RECIPES = [path for path in METHODS if path.parent.name != 'ablations']
NEXT_STEPS = [
    CONFIGS / f'siammae/ablations/siammae_vit-small-p16-{name}_16xb64-amp-coslr-400e_k400.py'
    for name in ('2-futures', '3-futures', 'gap-schedule', 'cut-out')
] + [CONFIGS / 'dropmae/ablations/dropmae_vit-base-p16-gap-schedule_64xb64-amp-coslr-400e_k400.py']


def name(path: Path) -> str:
    return path.stem


@pytest.fixture(autouse=True)
def _scope():
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        yield


@pytest.mark.parametrize('path', METHODS, ids=name)
def test_numbers_agree_with_the_name(path):
    config = Config.fromfile(path)
    parts = re.fullmatch(
        r'(?P<method>\w+?)_vit-(?P<arch>[a-z]+)-p(?P<patch>\d+)(-[\w-]+)?_(?P<gpus>\d+)xb(?P<videos>\d+)'
        r'(-accum(?P<accum>\d+))?-amp-coslr-(?P<epochs>\d+)e_(?P<data>\w+)',
        path.stem,
    )
    assert config.model.type.lower() == f'mmvidmae.{parts["method"]}'
    assert (config.model.backbone.arch, config.model.backbone.patch_size) == (parts['arch'], int(parts['patch']))
    loader, accumulated = config.train_dataloader, config.optim_wrapper.get('accumulative_counts', 1)
    assert (loader.batch_size, accumulated) == (int(parts['videos']), int(parts['accum'] or 1))
    repeats = loader.dataset.get('repeated_sampling', 1)
    assert config.auto_scale_lr.base_batch_size == int(parts['gpus']) * loader.batch_size * accumulated * repeats
    assert config.train_cfg.max_epochs == config.param_scheduler[-1].end == int(parts['epochs'])
    folder = dict(in1k='data/imagenet', k400='data/kinetics400')[parts['data']]
    assert {part.dataset.data_root for part in (loader, config.val_dataloader, config.test_dataloader)} == {folder}
    lr, warmup = dict(cropmae=(8e-4, 20), tobo=(9e-4, 40))[parts['method']]
    assert config.optim_wrapper.optimizer.lr == pytest.approx(lr)
    assert config.param_scheduler[0].end == config.param_scheduler[1].begin == warmup
    assert config.default_hooks.checkpoint.type == 'mmvidmae.AtomicCheckpointHook'


@pytest.mark.parametrize('path', RECIPES, ids=name)
def test_the_classes_have_the_numbers_of_the_recipes(path):
    """A model that is built by its class alone is the one of the config, the size aside."""
    config = Config.fromfile(path).model
    sizes = dict(backbone=dict(arch=config.backbone.arch))
    if config.backbone.arch != 'small' and 'CropMAE' in config.type:
        sizes['neck'] = dict(decoder_dims=512, depth=8, num_heads=16)
    with torch.device('meta'):
        whole, short = (MODELS.build(model) for model in (config, dict(type=config.type, **sizes)))
    assert str(whole) == str(short)
    assert whole.masking.mask_ratio == short.masking.mask_ratio
    assert whole.neck.branches == short.neck.branches


def test_views_and_frames_are_those_of_the_authors():
    recipe = 'cropmae_vit-small-p16_16xb128-amp-coslr-400e'
    pictures, videos = (
        Config.fromfile(CONFIGS / f'cropmae/{recipe}_{data}.py').train_dataloader.dataset.pipeline[2]
        for data in ('in1k', 'k400')
    )
    assert (pictures.scale, videos.scale) == (((0.1, 1.0), (0.3, 0.6)), ((0.5, 1.0), (0.3, 0.6)))
    assert (pictures.size, pictures.crops, pictures.interpolation, pictures.prob) == (224, 'nested', 'bilinear', 0.5)
    tobo = Config.fromfile(CONFIGS / 'tobo/tobo_vit-small-p16_8xb24-accum8-amp-coslr-400e_k400.py')
    sample, _, crop, flip, _ = tobo.train_dataloader.dataset.pipeline
    assert (sample.gap, sample.draw_first, sample.short) == ((1, 96), 'room', 'gap')
    assert (crop.scale, crop.interpolation, crop.shared, flip.shared) == ((0.5, 1.0), 'bicubic', True, True)


@pytest.fixture(scope='module')
def pictures(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp('imagenet')
    for number in range(2):
        for split in ('train', 'val'):
            (folder / split / 'n01').mkdir(parents=True, exist_ok=True)
            picture = np.random.default_rng(number).integers(0, 255, (48, 64, 3), np.uint8)
            cv2.imwrite(str(folder / split / f'n01/{number}.JPEG'), picture)
    return folder


def shrink(config: Config, video_dir: Path, pictures: Path) -> None:
    """Make the model tiny, and read clips and pictures of the tests."""
    config.model.backbone.update(
        arch=dict(embed_dims=24, num_layers=1, num_heads=2, feedforward_channels=48), img_size=32, patch_size=8
    )
    config.model.neck.update(decoder_dims=16, num_heads=2)
    if config.model.type != 'mmvidmae.DropMAE':
        config.model.neck.feedforward_channels = 32
        config.model.masking = dict(mask_ratio=(0.0, *[0.75] * (config.model.get('num_frames', 2) - 1)))
    for loader in (config.train_dataloader, config.val_dataloader):
        dataset = loader.dataset
        if dataset.type == 'mmvidmae.ImageViewDataset':
            dataset.data_root = str(pictures)
        else:
            dataset.update(ann_file='', data_root=str(video_dir), data_prefix=dict(video=''))
        for transform in dataset.pipeline:
            if 'size' in transform:
                transform.size = 32


@pytest.mark.parametrize('path', METHODS + NEXT_STEPS, ids=name)
def test_a_tiny_variant_trains_a_step(path, video_dir, pictures):
    config = Config.fromfile(path)
    check_config(config)
    shrink(config, video_dir, pictures)
    model = MODELS.build(config.model)
    model.init_weights()
    dataset, held_out = (DATASETS.build(loader.dataset) for loader in (config.train_dataloader, config.val_dataloader))
    batch = model.data_preprocessor(pair_collate([dataset[SampleIndex(index, 0, 0)] for index in range(2)]), True)
    repeats = config.train_dataloader.dataset.get('repeated_sampling', 1)
    assert batch['inputs'].shape == (2 * repeats, model.num_frames, 3, 32, 32)
    losses = model(**batch, mode='loss')
    assert all(value.isfinite() for value in losses.values())
    assert len(losses) == len(model.neck.branches)
    sum(losses.values()).backward()
    assert not [key for key, p in model.named_parameters() if p.requires_grad and p.grad is None]
    torch.optim.AdamW(model.parameters(), lr=1e-3).step()
    batch = model.data_preprocessor(pair_collate([held_out[0]]))
    (sample,) = model.eval()(**batch, mode='predict')
    assert sample.reconstruction.shape == (model.num_frames, 3, 32, 32)
    assert sample.error.isfinite()


def test_the_largest_gap_of_the_schedule_grows(video_dir, pictures):
    config = Config.fromfile(NEXT_STEPS[2])
    sample = config.train_dataloader.dataset.pipeline[0]
    assert (sample.gap, sample.gap_schedule) == ((4, 48), ((0, 16), (300, 96)))
    assert 'gap_schedule' not in config.val_dataloader.dataset.pipeline[0]


def test_cut_out_is_for_training_only():
    config = Config.fromfile(NEXT_STEPS[3])
    types = [transform.type for transform in config.train_dataloader.dataset.pipeline]
    assert types[-2:] == ['mmvidmae.FrameCutOut', 'mmvidmae.PackPairs']
    assert 'mmvidmae.FrameCutOut' not in [transform.type for transform in config.val_dataloader.dataset.pipeline]
