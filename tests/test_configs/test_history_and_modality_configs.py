"""The configs of HIPTrack and BAT build, with the authors' numbers."""

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
from mmtrack.registry import DATASETS, HOOKS, METRICS, MODELS, TRANSFORMS

CONFIGS = Path(__file__).resolve().parents[2] / 'configs'
ALL = sorted([*(CONFIGS / 'hiptrack').glob('*.py'), *(CONFIGS / 'bat').glob('*.py')])
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


@pytest.mark.parametrize('path', RECIPES, ids=lambda path: path.stem)
def test_recipes_train_what_the_papers_say(path):
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


@pytest.mark.parametrize('method', ['hiptrack', 'bat'])
def test_metafile_agrees_with_the_configs(method):
    metafile = yaml.safe_load((CONFIGS / method / 'metafile.yml').read_text())
    models = {entry['Name']: entry for entry in metafile['Models']}
    paths = [path for path in RECIPES if path.parent.name == method]
    assert models.keys() == {path.stem for path in paths}
    for path in paths:
        config, entry = Config.fromfile(path), models[path.stem]
        assert CONFIGS.parent / entry['Config'] == path
        assert entry['Metadata']['Epochs'] == config.train_cfg.max_epochs
        assert entry['Metadata']['Batch Size'] == config.auto_scale_lr.base_batch_size
        assert entry['Metadata']['Parameters'] == sum(p.numel() for p in build_model(config).parameters())
