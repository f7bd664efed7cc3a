"""The configs of DropTrack, OSTrack, HIPTrack and BAT build, with the numbers of their names and their authors."""

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
ALL = {method: sorted((CONFIGS / method).glob('*.py')) for method in ('droptrack', 'hiptrack', 'bat')}
RECIPES = {method: [path for path in paths if '_test-' not in path.stem] for method, paths in ALL.items()}


@pytest.fixture(autouse=True)
def _scope():
    with DefaultScope.overwrite_default_scope('mmtrack'):
        yield


def build_model(config: Config) -> torch.nn.Module:
    with torch.device('meta'):
        return MODELS.build(config.model)


@pytest.mark.parametrize('path', ALL['droptrack'], ids=lambda path: path.stem)
def test_droptrack_config_builds(path):
    config = Config.fromfile(path)
    parts = re.fullmatch(
        r'(?P<method>droptrack|ostrack)_vit-base-p16-(?P<size>\d+)(?P<online>-online)?_4xb32-(?P<epochs>\d+)e_(?P<data>got10k|all)'
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
        num_templates = 2 if parts['online'] else 1
        assert dataset.pipeline[0].get('num_templates', 1) == crop.get('num_templates', 1) == num_templates
        assert dataset.pipeline[4].num_template_frames == num_templates
        for transform in dataset.pipeline:
            assert TRANSFORMS.build(transform)
    assert (model.renews_template is not None) == bool(parts['online'])

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


@pytest.mark.parametrize('path', RECIPES['droptrack'], ids=lambda path: path.stem)
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
    tested = {path.stem.split('_test-')[1] for path in ALL['droptrack'] if '_test-' in path.stem}
    assert tested >= {
        *('got10k', 'got10k-val', 'lasot', 'lasot-ext', 'trackingnet', 'tnl2k', 'otb100', 'uav123', 'nfs', 'vot2018')
    }


@pytest.mark.parametrize('path', ALL['hiptrack'] + ALL['bat'], ids=lambda path: path.stem)
def test_hiptrack_and_bat_config_builds(path):
    config = Config.fromfile(path)
    datasets = config.train_dataloader.dataset.get('datasets', [config.train_dataloader.dataset])
    for dataset in datasets:
        assert DATASETS.get(dataset.type)
        for transform in dataset.pipeline:
            assert TRANSFORMS.build(transform)
    for hook in (*config.default_hooks.values(), *config.custom_hooks):
        assert HOOKS.build(hook)
    if 'test_evaluator' in config:
        assert METRICS.build(config.test_evaluator)
        assert DATASETS.get(config.test_dataloader.dataset.type)


@pytest.mark.parametrize('path', RECIPES['hiptrack'] + RECIPES['bat'], ids=lambda path: path.stem)
def test_hiptrack_and_bat_train_what_the_papers_say(path):
    config = Config.fromfile(path)
    model = build_model(config)
    optimizer = build_optim_wrapper(model, config.optim_wrapper).optimizer
    names = {parameter: name for name, parameter in model.named_parameters()}
    lr = {names[p]: group['lr'] for group in optimizer.param_groups for p in group['params'] if p.requires_grad}
    trained = {name: p.numel() for name, p in model.named_parameters() if p.requires_grad}
    assert lr.keys() == trained.keys()
    millions = round(sum(trained.values()) / 1e6, 2)
    if path.parent.name == 'hiptrack':
        assert {name.split('.')[0] for name in trained} == {'prompt', 'head'}
        assert millions == 34.06  # 34.1 M in the authors' README
        assert set(lr.values()) == {1e-4}
        assert model.test_cfg['memory_interval'] == 20
        assert model.test_cfg['max_memory_frames'] == 150
        crop = config.train_dataloader.dataset.get('datasets', [config.train_dataloader.dataset])[0].pipeline
        assert crop[0].num_search == 5
    elif 'full' in path.stem:
        assert {round(value, 7) for value in lr.values()} == {1e-4, 1e-5}
        assert all(value < 5e-5 for name, value in lr.items() if name.startswith('backbone.'))
    else:
        assert millions == 0.32  # abstract
        assert all('adapters' in name for name in trained)
        assert set(lr.values()) == {4e-4}
    assert (model.backbone.frame_embed is not None) == ('ostrack' not in path.stem)


@pytest.mark.parametrize('method', ALL)
def test_metafile_agrees_with_the_configs(method):
    metafile = yaml.safe_load((CONFIGS / method / 'metafile.yml').read_text())
    models = {entry['Name']: entry for entry in metafile['Models']}
    assert models.keys() == {path.stem for path in RECIPES[method]}
    for path in RECIPES[method]:
        config, entry = Config.fromfile(path), models[path.stem]
        assert CONFIGS.parent / entry['Config'] == path
        assert entry['Metadata']['Epochs'] == config.train_cfg.max_epochs
        assert entry['Metadata']['Batch Size'] == config.auto_scale_lr.base_batch_size
        assert entry['Metadata']['Parameters'] == sum(p.numel() for p in build_model(config).parameters())
