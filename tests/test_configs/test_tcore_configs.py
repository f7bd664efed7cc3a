"""T-CoRe's recipes build, and agree with their names, metafile, README and the authors' numbers."""

import re
from pathlib import Path

import pytest
import torch
import yaml
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import DATASETS, HOOKS, DefaultScope
from mmpretrain.registry import MODELS
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from mmvidmae.engine.check_config import check_config

FOLDER = Path(__file__).resolve().parents[2] / 'configs/tcore'
ALL = sorted(FOLDER.rglob('*.py'))
RECIPE = FOLDER / 'tcore_vit-small-p16_4xb64-amp-coslr-400e_k400.py'


@pytest.fixture(autouse=True)
def _scope():
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        yield


def build(config: Config) -> nn.Module:
    with torch.device('meta'):
        return MODELS.build(config.model)


def trained(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)


@pytest.mark.parametrize('path', ALL, ids=lambda path: path.stem)
def test_config_builds_and_agrees_with_its_name(path):
    config = Config.fromfile(path)
    check_config(config)
    model = build(config)
    parts = re.fullmatch(
        r'tcore_vit-(?P<arch>\w+)-p16(-[\w-]+)?_(?P<gpus>\d)xb(?P<videos>\d+)-amp-coslr-(?P<epochs>\d+)e_\w+', path.stem
    )
    assert config.model.backbone.arch == parts['arch']
    assert config.train_dataloader.batch_size == int(parts['videos'])
    assert int(parts['gpus']) * int(parts['videos']) == 256
    ends = [scheduler.end for scheduler in config.param_scheduler]
    assert ends == [20, int(parts['epochs']), int(parts['epochs'])]
    assert config.train_cfg.max_epochs == int(parts['epochs'])
    for hook in config.custom_hooks:
        assert HOOKS.build(hook)
    dataset = DATASETS.build(config.train_dataloader.dataset, default_args=dict(lazy_init=True))
    views = dataset.pipeline.transforms[2]
    assert views.size == model.backbone.img_size
    assert views.local_size[0] % model.backbone.patch_size == 0


def test_ablations_differ_where_they_say():
    recipe = Config.fromfile(RECIPE)
    for path in sorted((FOLDER / 'ablations').glob('*.py')):
        config = Config.fromfile(path)
        keys = ('model', 'optim_wrapper', 'custom_hooks', 'param_scheduler', 'train_dataloader', 'train_cfg')
        changed = {key for key in keys if config[key] != recipe[key]}
        if 'blur' in path.stem:
            assert changed == {'train_dataloader'}
        elif 'rates' in path.stem:
            assert changed == {'optim_wrapper', 'custom_hooks'}
        else:
            assert changed == {'model'}


def test_rates_and_decay_of_the_groups():
    config = Config.fromfile(RECIPE)
    config.optim_wrapper.type = 'OptimWrapper'  # mixed precision needs a GPU
    model = build(config)
    optimizer = build_optim_wrapper(model, config.optim_wrapper).optimizer
    names = {parameter: name for name, parameter in model.named_parameters()}
    groups = {names[parameter]: group for group in optimizer.param_groups for parameter in group['params']}
    assert groups.keys() == {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    rates = {
        'backbone.register_tokens': 0.9**13,
        'backbone.mask_token': 0.9**13,
        'backbone.patch_embed.projection.weight': 0.2 * 0.9**13,
        'backbone.layers.0.attn.qkv.weight': 0.9**12,
        'backbone.layers.11.ffn.gamma2.weight': 0.9,
        'backbone.ln1.weight': 1,
        'neck.decoder_blocks.0.cross_attn.q.weight': 0.1,
        'head.last_layer.weight_v': 1,
    }
    assert {name: groups[name]['lr'] / 0.001 for name in rates} == pytest.approx(rates)
    flat = {name for name, parameter in model.named_parameters() if parameter.ndim <= 1}
    assert {name for name, group in groups.items() if not group['weight_decay']} == flat & groups.keys()
    assert {name for name, group in groups.items() if group['last_layer']} == {
        'head.last_layer.weight_g',
        'head.last_layer.weight_v',
    }


def test_metafile_and_readme():
    metafile = yaml.safe_load((FOLDER / 'metafile.yml').read_text())
    readme = (FOLDER / 'README.md').read_text()
    assert {entry['Name'] for entry in metafile['Models']} == {path.stem for path in FOLDER.glob('*.py')}
    assert set(re.findall(r'\| *\[config\]\(\./(\S+\.py)\)', readme)) == {str(p.relative_to(FOLDER)) for p in ALL}
    for entry in metafile['Models']:
        config, metadata = Config.fromfile(FOLDER.parents[1] / entry['Config']), entry['Metadata']
        model = build(config)
        assert metadata['Parameters'] == trained(model)
        assert metadata['Epochs'] == config.train_cfg.max_epochs
        row = next(line for line in readme.splitlines() if f'(./{entry["Name"]}.py)' in line)
        numbers = (metadata['Parameters'] / 1e6, trained(model.backbone) / 1e6, metadata['FLOPs'] / 1e9)
        assert [f'{number:.2f}' for number in numbers] == re.findall(r'\| *(\d+\.\d\d) (?=\|)', row)


def test_flops_of_the_recipe():
    model = MODELS.build(Config.fromfile(RECIPE).model).eval()
    model.teacher.temperature = 0.07
    hidden = torch.zeros(2, 196, dtype=torch.bool)
    hidden[0, :58] = True
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model.forward_pretrain(torch.zeros(1, 3, 2, 3, 224, 224), torch.zeros(1, 8, 3, 96, 96), hidden)
    (flops,) = {
        entry['Metadata']['FLOPs']
        for entry in yaml.safe_load((FOLDER / 'metafile.yml').read_text())['Models']
        if 'small' in entry['Name']
    }
    assert counter.get_total_flops() // 2 == flops
