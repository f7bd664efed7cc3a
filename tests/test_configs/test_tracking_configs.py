"""Every tracking config builds, with the numbers that its name and the authors' configuration give."""

import re
from pathlib import Path

import pytest
import torch
import yaml
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import DefaultScope

pytest.importorskip('mmdet')
import mmvidmae.compat.mmtrack.enabled  # noqa: F401

# isort: split
from mmtrack.registry import DATA_SAMPLERS, DATASETS, HOOKS, METRICS, MODELS, TRANSFORMS

CONFIGS = Path(__file__).resolve().parents[2] / 'configs'
ALL = sorted((CONFIGS / 'droptrack').glob('*.py'))
RECIPES = [path for path in ALL if '_test-' not in path.stem]


@pytest.fixture(autouse=True)
def _scope():
    with DefaultScope.overwrite_default_scope('mmtrack'):
        yield


def build_model(config: Config) -> torch.nn.Module:
    with torch.device('meta'):
        return MODELS.build(config.model)


@pytest.mark.parametrize('path', ALL, ids=lambda path: path.stem)
def test_config_builds(path):
    config = Config.fromfile(path)
    parts = re.fullmatch(
        r'(?P<method>droptrack|ostrack)_vit-base-p16-(?P<size>\d+)_4xb32-(?P<epochs>\d+)e_(?P<data>got10k|all)'
        r'(_test-(?P<test>[a-z0-9-]+))?',
        path.stem,
    )
    assert parts, f'{path.stem} does not follow the naming convention'
    size, epochs = int(parts['size']), int(parts['epochs'])
    assert config.default_scope == 'mmtrack'
    model = build_model(config)
    assert (model.backbone.frame_embed is not None) == (parts['method'] == 'droptrack')
    assert model.backbone.pos_embed_x.shape[1] == (size // 16) ** 2
    assert model.backbone.pos_embed_z.shape[1] == (size // 32) ** 2

    loader = config.train_dataloader
    assert loader.batch_size * 4 == config.auto_scale_lr.base_batch_size == 128
    assert loader.sampler.samples_per_epoch == 60000
    datasets = loader.dataset.get('datasets', [loader.dataset])
    assert len(datasets) == (1 if parts['data'] == 'got10k' else 4)
    for dataset in datasets:
        assert DATASETS.get(dataset.type)
        crop = dataset.pipeline[3]
        assert tuple(crop.sizes) == (size // 2, size)
        factors = model.template_crop['factor'], model.search_crop['factor']
        assert tuple(crop.factors) == factors == (2.0, 5.0 if size == 384 else 4.0)
        for transform in dataset.pipeline:
            assert TRANSFORMS.build(transform)

    step, warmup = dict(got10k=(80, 50), all=(240, 80))[parts['data']]
    assert config.train_cfg.max_epochs == epochs == dict(got10k=100, all=300)[parts['data']]
    assert config.param_scheduler.milestones == [step]
    hooks = {hook.type: hook for hook in config.custom_hooks}
    elimination = hooks['mmvidmae.CandidateEliminationHook']
    assert (elimination.start, elimination.warmup) == (20, warmup)
    for hook in (*config.default_hooks.values(), *config.custom_hooks):
        assert HOOKS.build(hook)

    assert ('test_dataloader' in config) == ('test_evaluator' in config) == bool(parts['test'])
    if parts['test']:
        assert config.test_dataloader.dataset.test_mode
        assert DATASETS.get(config.test_dataloader.dataset.type)
        assert DATA_SAMPLERS.get(config.test_dataloader.sampler.type)
        metric = METRICS.build(config.test_evaluator)
        vot = parts['test'] == 'vot2018'
        assert model.test_cfg['test_mode'] == ('VOT' if vot else 'OPE')
        assert (type(metric).__name__ == 'VOTMetric') == vot
        assert getattr(metric, 'submission', None) == dict(got10k='got10k', trackingnet='trackingnet').get(
            parts['test']
        )


@pytest.mark.parametrize('path', RECIPES, ids=lambda path: path.stem)
def test_all_is_optimized_the_encoder_at_a_tenth(path):
    config = Config.fromfile(path)
    model = build_model(config)
    optimizer = build_optim_wrapper(model, config.optim_wrapper).optimizer
    names = {parameter: name for name, parameter in model.named_parameters()}
    lr = {names[p]: group['lr'] for group in optimizer.param_groups for p in group['params']}
    base = 2.5e-4 if path.stem.startswith('droptrack') else 4e-4
    for name, value in lr.items():
        assert value == pytest.approx(base / 10 if name.startswith('backbone.') else base)
    assert {group['weight_decay'] for group in optimizer.param_groups} == {1e-4}
    assert lr.keys() == {name for name, p in model.named_parameters() if p.requires_grad}
    assert {'backbone.pos_embed_x', 'backbone.pos_embed_z'} <= lr.keys()


def test_every_data_set_that_is_named_has_a_test():
    tested = {path.stem.split('_test-')[1] for path in ALL if '_test-' in path.stem}
    assert tested >= {
        *('got10k', 'got10k-val', 'lasot', 'lasot-ext', 'trackingnet', 'tnl2k', 'otb100', 'uav123', 'nfs', 'vot2018')
    }


def test_metafile_agrees_with_the_configs():
    metafile = yaml.safe_load((CONFIGS / 'droptrack/metafile.yml').read_text())
    models = {entry['Name']: entry for entry in metafile['Models']}
    assert models.keys() == {path.stem for path in RECIPES}
    for path in RECIPES:
        config, entry = Config.fromfile(path), models[path.stem]
        assert CONFIGS.parent / entry['Config'] == path
        assert entry['Metadata']['Epochs'] == config.train_cfg.max_epochs
        assert entry['Metadata']['Batch Size'] == config.auto_scale_lr.base_batch_size
        assert entry['Metadata']['Parameters'] == sum(p.numel() for p in build_model(config).parameters())
