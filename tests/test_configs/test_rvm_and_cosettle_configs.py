"""The recipes of RVM and Co-Settle build, train all that they should, and agree with metafile and README."""

import re
from pathlib import Path

import pytest
import torch
import yaml
from mmengine.config import Config
from mmengine.registry import DATASETS, HOOKS, DefaultScope
from mmpretrain.registry import MODELS
from torch.utils.flop_counter import FlopCounterMode

CONFIGS = Path(__file__).resolve().parents[2] / 'configs'
RECIPES = [path for method in ('cosettle', 'rvm') for path in sorted((CONFIGS / method).rglob('*.py'))]


@pytest.mark.parametrize('path', RECIPES, ids=lambda path: path.stem)
def test_recipe(path):
    config = Config.fromfile(path)
    method, gpus, videos, epochs = re.fullmatch(
        r'(cosettle|rvm)_vit-[\w-]+_(\d+)xb(\d+)-amp-coslr-(\d+)e_k400', path.stem
    ).groups()
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        with torch.device('meta'):
            model = MODELS.build(config.model)
        assert type(model).__name__.lower() == method
        datasets = [
            DATASETS.build(config[loader].dataset, default_args=dict(lazy_init=True))
            for loader in ('train_dataloader', 'val_dataloader')
            if config.get(loader)
        ]
        assert all(HOOKS.build(hook) for hook in (*config.default_hooks.values(), *config.custom_hooks))
    num_frames, size = config.model.get('num_frames', 2), 256 if method == 'rvm' else 224
    for dataset in datasets:
        sampler, _, *transforms, _ = dataset.pipeline.transforms
        assert sampler.num_frames == num_frames
        assert transforms[0].size == (size, size) or transforms[1].size == (size, size)
    repeats = config.train_dataloader.dataset.get('repeated_sampling', 1)
    batch = int(gpus) * int(videos) * repeats
    assert config.auto_scale_lr.base_batch_size == batch == (512 if method == 'cosettle' else 2048)
    assert config.train_dataloader.batch_size == int(videos)
    assert config.train_cfg.max_epochs == config.param_scheduler[-1].end == int(epochs)
    base_lr = 1e-4 if method == 'cosettle' else 1.5e-4
    assert config.optim_wrapper.optimizer.lr == pytest.approx(base_lr * batch / 256)

    if path.parent.name != 'ablations':
        entries = yaml.safe_load((path.parent / 'metafile.yml').read_text())['Models']
        (entry,) = (entry for entry in entries if entry['Name'] == path.stem)
        parameters = sum(p.numel() for p in model.parameters())
        data = entry['Metadata']
        numbers = [data['Epochs'], data['Batch Size'], data['Parameters'], data['Training Data']]
        assert numbers == [int(epochs), batch, parameters, 'Kinetics-400']
        (row,) = re.findall(rf'\|.*{path.stem}\.py.*', (path.parent / 'README.md').read_text())
        encoder = sum(p.numel() for p in model.backbone.parameters())
        trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
        expected = (trained / 1e6,) if method == 'cosettle' else (parameters / 1e6, encoder / 1e6, data['FLOPs'] / 1e9)
        numbers = [float(number) for number in re.findall(r'\| (\d+\.\d\d) (?=\|)', row)]
        assert numbers == [round(value, 2) for value in expected]


@pytest.mark.parametrize(
    'name',
    [
        'cosettle/cosettle_vit-base-p16-mae_4xb128-amp-coslr-5e_k400',
        'rvm/rvm_vit-small-p16_32xb32-amp-coslr-400e_k400',
    ],
)
def test_flops(name):
    config = Config.fromfile(CONFIGS / f'{name}.py')
    with DefaultScope.overwrite_default_scope('mmpretrain'), torch.device('meta'):
        model = MODELS.build(config.model)
        if name.startswith('rvm'):
            inputs = torch.empty(1, 8, 3, 256, 256), torch.empty(1, 8 * 256)
        else:
            inputs = torch.empty(1, 2, 3, 224, 224), torch.zeros(2, dtype=torch.int64)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model.forward_pretrain(*inputs)
        flops = counter.get_total_flops() // 2
    metafile = (CONFIGS / name).parent / 'metafile.yml'
    (entry,) = (
        entry for entry in yaml.safe_load(metafile.read_text())['Models'] if entry['Config'].endswith(f'{name}.py')
    )
    assert entry['Metadata']['FLOPs'] == flops
