"""Every pre-training config parses and builds, and holds the numbers that its name and its references give."""

import math
import re
from dataclasses import fields
from pathlib import Path

import pytest
import torch
from docs_pages import read_blocks
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import (
    DATA_SAMPLERS,
    DATASETS,
    EVALUATOR,
    FUNCTIONS,
    HOOKS,
    METRICS,
    OPTIM_WRAPPERS,
    PARAM_SCHEDULERS,
    VISBACKENDS,
    VISUALIZERS,
    DefaultScope,
)
from mmpretrain.registry import MODELS
from torch import nn

from mmvidmae.models.backbones import PairMAEViT
from mmvidmae.models.propagation.protocol import PROTOCOLS, PropagationProtocol

CONFIGS = Path(__file__).resolve().parents[2] / 'configs'
METHODS = ('dropmae', 'siammae', 'catmae', 'rsp')
SMALL = sorted(
    path for path in (CONFIGS / 'small').glob('*_clips.py') if not path.stem.startswith(('cosettle', 'tcore'))
)  # of the masked autoencoders
RUNNABLE = [
    path for method in METHODS for path in sorted((CONFIGS / method).rglob('*.py')) if path.parent.name != 'benchmarks'
] + SMALL
RECIPES = [path for path in RUNNABLE if not path.stem.endswith('demo') and path not in SMALL]
# loaders.py is their base; held-out pairs of demo and small are other parts of the same clips, set by their configs;
# the rest of what is left out is for other tasks
DATA_SETS = sorted(
    p
    for p in (CONFIGS / '_base_/datasets').glob('*.py')
    if p.stem not in ('loaders', 'demo', 'small', 'vos_train')
    and not {'propagation', 'sot', 'foreground'} & set(p.stem.split('_'))
)
PROPAGATION = sorted((CONFIGS / 'propagation').glob('*.py'))


def name(path: Path) -> str:
    return str(path.relative_to(CONFIGS).with_suffix(''))


@pytest.fixture(autouse=True)
def _scope():
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        yield


@pytest.mark.parametrize('path', sorted((CONFIGS / '_base_').glob('*_runtime.py')), ids=name)
def test_runs_of_a_process_have_their_own_visualizer(path):
    """With a name, all of them would write to the folder of the first."""
    assert 'name' not in Config.fromfile(path).visualizer


def build_model(config: Config) -> nn.Module:
    """Builds a model without memory or initialization, so that ViT-H costs what ViT-S does."""
    with torch.device('meta'):
        return MODELS.build(config.model)


@pytest.fixture(scope='module')
def models() -> dict[str, nn.Module]:
    """Models that went forward and backward, by their configs: recipes that differ in data or epochs share one."""
    return {}


@pytest.fixture(scope='module')
def encoders() -> dict[str, nn.Module]:
    """Frozen encoders by their configs: protocols and data sets share them."""
    return {}


def build_loader_parts(loader: dict) -> None:
    dataset = DATASETS.build(loader.dataset, default_args=dict(lazy_init=True))
    assert len(dataset.pipeline.transforms) == len(loader.dataset.pipeline) > 0
    assert DATA_SAMPLERS.build(loader.sampler, default_args=dict(dataset=range(6), seed=0))
    assert FUNCTIONS.get(loader.collate_fn.type)


@pytest.mark.parametrize('path', RUNNABLE, ids=name)
def test_config_builds(path, models):
    config = Config.fromfile(path)
    assert config.default_scope == 'mmpretrain'
    known = str(config.model)
    model = models.get(known) or build_model(config)
    height, width = (model.backbone.patch_size * n for n in model.backbone.patch_resolution)
    if known not in models:
        tokens = model.num_frames * math.prod(model.backbone.patch_resolution)
        frames = torch.empty(1, model.num_frames, 3, height, width, device='meta')
        model.forward_pretrain(frames, torch.empty(1, tokens, device='meta')).loss.backward()
        unused = [key for key, p in model.named_parameters() if p.requires_grad and p.grad is None]
        assert not unused, 'distributed training would have to search for them'
        models[known] = model

    for loader in (config.train_dataloader, config.get('val_dataloader'), config.get('test_dataloader')):
        if loader:
            build_loader_parts(loader)
    size = config.train_dataloader.dataset.pipeline[2].size
    assert size in (height, (height, width)), 'the crop must be the size that the model is made for'
    for metric in (config.get('val_evaluator'), config.get('test_evaluator')):
        assert metric is None or METRICS.build(metric)
    for hook in (*config.default_hooks.values(), *config.custom_hooks):
        assert HOOKS.build(hook)
    assert OPTIM_WRAPPERS.get(config.optim_wrapper.type)
    assert VISUALIZERS.get(config.visualizer.type)
    assert all(VISBACKENDS.get(backend.type) for backend in config.vis_backends)
    assert EVALUATOR.get('Evaluator')


@pytest.mark.parametrize('path', RECIPES, ids=name)
def test_numbers_agree_with_the_name(path):
    config = Config.fromfile(path)
    parts = re.fullmatch(
        r'(?P<method>\w+?)_vit-(?P<arch>[a-z]+)-p(?P<patch>\d+)(-[\w-]+)?_(?P<gpus>\d+)xb(?P<videos>\d+)'
        r'-amp-coslr-(?P<epochs>\d+)e_k(?P<data>\d+)',
        path.stem,
    )
    assert parts, f'{path.stem} does not follow the naming convention'
    assert config.model.type.lower() == f'mmvidmae.{parts["method"]}'
    assert (config.model.backbone.arch, config.model.backbone.patch_size) == (parts['arch'], int(parts['patch']))
    assert config.train_dataloader.batch_size == int(parts['videos'])
    pairs = config.auto_scale_lr.base_batch_size
    assert pairs == int(parts['gpus']) * int(parts['videos']) * config.train_dataloader.dataset.get(
        'repeated_sampling', 1
    )
    assert config.train_cfg.max_epochs == config.param_scheduler[-1].end == int(parts['epochs'])
    assert config.train_dataloader.dataset.data_root == f'data/kinetics{parts["data"]}'
    assert config.optim_wrapper.type == 'AmpOptimWrapper'

    base_lr = 1e-4 if 'cropmae' in path.stem else 1.5e-4
    sizes = dict(dropmae={4096}, twinmae={4096}, siammae={2048}, catmae={2048, 464}, rsp={3072})
    assert pairs in sizes[parts['method']]
    counted = pairs // 2 if parts['method'] == 'rsp' else pairs  # RSP's rule counts videos
    share = 0.1 if '-from-' in path.stem else 1.0  # of a start from other weights
    assert config.optim_wrapper.optimizer.lr == pytest.approx(share * base_lr * counted / 256)


@pytest.mark.parametrize(
    ('recipe', 'gap', 'scale', 'interpolation', 'shared'),
    [
        ('dropmae/dropmae_vit-base-p16_64xb64-amp-coslr-400e_k400', (1, 49), (0.2, 1.0), 'bicubic', False),
        ('siammae/siammae_vit-small-p16_16xb64-amp-coslr-400e_k400', (4, 48), (0.5, 1.0), 'bicubic', True),
        (
            'siammae/siammae_vit-small-p16-cropmae-dec_16xb128-amp-coslr-400e_k400',
            (4, 47),
            (0.5, 1.0),
            'bilinear',
            True,
        ),
        ('catmae/catmae_vit-small-p16_8xb128-amp-coslr-300e_k400', (4, 48), (0.5, 1.0), 'bicubic', True),
        ('rsp/rsp_vit-small-p16_8xb192-amp-coslr-400e_k400', (4, 48), (0.5, 1.0), 'bicubic', True),
    ],
)
def test_pairs_are_those_of_the_references(recipe, gap, scale, interpolation, shared):
    sample, _, crop, flip, _ = Config.fromfile(CONFIGS / f'{recipe}.py').train_dataloader.dataset.pipeline
    assert sample.gap == gap
    assert (crop.size, crop.scale, crop.interpolation, crop.shared) == (224, scale, interpolation, shared)
    assert (flip.prob, flip.shared) == (0.5, shared)


def test_twinmae_is_dropmae_without_dropout():
    recipe = 'vit-base-p16_64xb64-amp-coslr-400e_k400.py'
    drop, twin = (Config.fromfile(CONFIGS / f'dropmae/{method}_{recipe}') for method in ('dropmae', 'twinmae'))
    models = [build_model(config) for config in (drop, twin)]
    assert [model.neck.decoder_blocks[0].attn.spatial_drop for model in models] == [0.1, 0.0]
    assert models[0].state_dict().keys() == models[1].state_dict().keys()
    assert {key for key in drop if drop[key] != twin[key]} == {'model'}


@pytest.mark.parametrize(
    ('recipe', 'learned_tokens'),
    [
        (
            'dropmae/dropmae_vit-base-p16_64xb64-amp-coslr-400e_k400',
            {'backbone.frame_embed', 'neck.frame_embed', 'neck.mask_token'},
        ),
        ('siammae/siammae_vit-small-p16_16xb64-amp-coslr-400e_k400', {'backbone.cls_token', 'neck.mask_token'}),
        (
            'siammae/siammae_vit-small-p16-cropmae-dec_16xb128-amp-coslr-400e_k400',
            {'backbone.cls_token', 'neck.mask_token'},
        ),
    ],
)
def test_biases_and_norms_alone_are_not_decayed(recipe, learned_tokens):
    config = Config.fromfile(CONFIGS / f'{recipe}.py')
    model = build_model(config)
    config.optim_wrapper.type = 'OptimWrapper'  # mixed precision needs a GPU
    optimizer = build_optim_wrapper(model, config.optim_wrapper).optimizer
    names = {parameter: key for key, parameter in model.named_parameters()}
    decay = {names[p]: group['weight_decay'] for group in optimizer.param_groups for p in group['params']}

    norms = {f'{path}.weight' for path, module in model.named_modules() if isinstance(module, nn.LayerNorm)}
    biases = {key for key in decay if key.endswith('bias')}
    assert {key for key, value in decay.items() if value == 0} == norms | biases
    assert {value for key, value in decay.items() if key not in norms | biases} == {0.05}
    assert learned_tokens <= decay.keys() - norms - biases
    assert {key for key, p in model.named_parameters() if not p.requires_grad} == {
        'backbone.pos_embed',
        'neck.decoder_pos_embed',
    }
    assert decay.keys() == {key for key, p in model.named_parameters() if p.requires_grad}
    assert optimizer.defaults['betas'] == (0.9, 0.95)


def reference_lr(epoch: float, peak: float, warmup: int, epochs: int) -> float:
    """The authors' rule at a fraction of an epoch (DropMAE util/lr_sched.py:9-16, MAE likewise)."""
    if epoch < warmup:
        return peak * epoch / warmup
    return peak * 0.5 * (1 + math.cos(math.pi * (epoch - warmup) / (epochs - warmup)))


@pytest.mark.parametrize(
    ('recipe', 'peak', 'warmup'),
    [
        ('dropmae/dropmae_vit-base-p16_64xb64-amp-coslr-400e_k400', 2.4e-3, 40),
        ('dropmae/dropmae_vit-base-p16_64xb64-amp-coslr-800e_k400', 2.4e-3, 40),
        ('dropmae/dropmae_vit-base-p16_64xb64-amp-coslr-1600e_k400', 2.4e-3, 40),
        ('siammae/siammae_vit-small-p16_16xb64-amp-coslr-2000e_k400', 1.2e-3, 40),
        ('siammae/siammae_vit-small-p16-cropmae-dec_16xb128-amp-coslr-400e_k400', 8e-4, 20),
        ('siammae/siammae_vit-small-p16-cropmae-dec_16xb128-amp-coslr-2000e_k400', 8e-4, 100),
        ('catmae/catmae_vit-small-p16_8xb128-amp-coslr-300e_k400', 1.2e-3, 10),
        ('rsp/rsp_vit-small-p16_8xb192-amp-coslr-400e_k400', 9e-4, 40),
    ],
)
def test_learning_rate_follows_the_authors_rule(recipe, peak, warmup):
    """To 1 / (iterations of warm-up) of the peak in the warm-up, and to rounding after it; here with 3 iterations an
    epoch instead of 58."""
    config, length = Config.fromfile(CONFIGS / f'{recipe}.py'), 3
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(()))], lr=config.optim_wrapper.optimizer.lr)
    schedulers = [
        PARAM_SCHEDULERS.build(scheduler, default_args=dict(optimizer=optimizer, epoch_length=length))
        for scheduler in config.param_scheduler
    ]
    epochs = config.train_cfg.max_epochs
    trace = []
    for _ in range(epochs * length):
        trace.append(optimizer.param_groups[0]['lr'])
        optimizer.step()
        for scheduler in schedulers:
            scheduler.step()
    expected = [reference_lr(i / length, peak, warmup, epochs) for i in range(epochs * length)]
    split = warmup * length
    assert trace[:split] == pytest.approx(expected[:split], abs=1.000001 * peak / split)  # and rounding
    assert trace[split:] == pytest.approx(expected[split:], rel=1e-6, abs=1e-9 * peak)
    assert trace[0] < 1e-8 * peak
    assert max(trace) == pytest.approx(peak)
    assert trace[-1] < 1e-4 * peak


@pytest.mark.parametrize('method', ['dropmae', 'siammae', 'siammae_cropmae'])
@pytest.mark.parametrize('data', DATA_SETS, ids=lambda path: path.stem)
def test_methods_and_data_sets_combine(data, method, tmp_path):
    recipe = tmp_path / 'recipe.py'
    recipe.write_text(f"""
_base_ = [
    '{CONFIGS}/_base_/models/{method}.py',
    '{data}',
    '{CONFIGS}/_base_/datasets/pipelines/{method}.py',
    '{CONFIGS}/_base_/schedules/adamw_{method}.py',
    '{CONFIGS}/_base_/schedules/coslr_800e.py',
    '{CONFIGS}/_base_/default_runtime.py',
]
train_dataloader = dict(dataset=dict(pipeline=_base_.train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=_base_.val_pipeline))
test_dataloader = val_dataloader
""")
    config = Config.fromfile(recipe)
    for loader in (config.train_dataloader, config.val_dataloader, config.test_dataloader):
        build_loader_parts(loader)
    sources = [
        (loader.dataset.data_root, loader.dataset.get('ann_file'), loader.dataset.data_prefix)
        for loader in (config.train_dataloader, config.val_dataloader)
    ]
    assert sources[0] != sources[1], 'training and held-out clips must differ'


def test_schedules_of_all_lengths_are_alike():
    for path in (CONFIGS / '_base_/schedules').glob('coslr_*e.py'):
        config = Config.fromfile(path)
        warmup, cosine = config.param_scheduler
        assert config.train_cfg.max_epochs == cosine.end == int(re.search(r'(\d+)e$', path.stem)[1])
        assert warmup.end == cosine.begin == (40 if cosine.end >= 400 else 1)


def test_readme_shows_configs_that_work(tmp_path):
    """The recipe in configs/README.md, the one for own videos, and the change of size on top of it."""
    recipe, own, size = (block.code for block in read_blocks(CONFIGS / 'README.md'))
    (tmp_path / '_base_').symlink_to(CONFIGS / '_base_')
    (tmp_path / 'mine').mkdir()
    own_smaller = own.replace('\ntrain_dataloader', f'\n{size}\ntrain_dataloader')
    own_smaller = own_smaller.replace('_base_.train_pipeline,', 'train_pipeline,')
    configs = {}
    for key, text in dict(recipe=recipe, own=own, own_smaller=own_smaller).items():
        path = tmp_path / f'mine/{key}.py'
        path.write_text(text)
        configs[key] = Config.fromfile(path)
        build_loader_parts(configs[key].train_dataloader)
        build_loader_parts(configs[key].val_dataloader)
    original = Config.fromfile(CONFIGS / 'dropmae/dropmae_vit-base-p16_64xb64-amp-coslr-400e_k400.py')
    assert configs['recipe'].to_dict() == original.to_dict()
    assert configs['own'].train_dataloader.dataset.keys() == {'type', 'data_root', 'pipeline'}
    assert configs['own_smaller'].train_dataloader.dataset.pipeline[2].size == 128
    assert build_model(configs['own_smaller']).backbone.patch_resolution == (8, 8)


@pytest.mark.parametrize('path', PROPAGATION, ids=name)
def test_frozen_evaluation_builds(path, encoders):
    config = Config.fromfile(path)
    parts = re.fullmatch(
        r'(?P<encoder>[a-z0-9-]+)_(?P<preset>dino|dinov3|crw|cropmae|rvm|siammae_paper)_(?P<data>[a-z0-9-]+)', path.stem
    )
    assert parts, f'{path.stem} does not follow the naming convention'
    assert config.model.protocol.preset == parts['preset']
    assert set(config.model.protocol) == {'preset', *(field.name for field in fields(PropagationProtocol))}
    if config.model.backbone.get('arch') == 'large':  # seconds less: one layer is built as all are
        config.model.backbone.arch = {**PairMAEViT.arch_zoo['large'], 'num_layers': 1}
        config.model.backbone.core.depth = 1
    if parts['encoder'].startswith('timm'):
        pytest.importorskip('timm')
    known = str(config.model.backbone)
    model = MODELS.build({**config.model, 'backbone': encoders.get(known, config.model.backbone)})
    stride = int(re.search(r'p(\d+)$', parts['encoder'])[1]) if parts['encoder'] != 'resnet50' else 8
    if known not in encoders:
        frames = torch.zeros(1, 3, 4 * stride, 6 * stride, dtype=torch.uint8)
        (features,) = model([frames], mode='tensor')
        assert features.shape[2:] == (4, 6)
        encoders[known] = model.backbone

    dataset = DATASETS.build(config.test_dataloader.dataset, default_args=dict(lazy_init=True))
    kind = dict(davis='DAVISDataset', youtube='YouTubeVOSDataset', vip='VIPDataset', jhmdb='JHMDBDataset')
    assert type(dataset).__name__ == kind[parts['data'].split('-')[0].rstrip('0123456789')]
    load = dataset.pipeline.transforms[0]
    for size in ((480, 854), (720, 1280), (640, 360)):
        assert not any(side % stride for side in load.resized(size)), 'the input must divide into patches'
    metric = METRICS.build(config.test_evaluator)
    assert str(metric.out_dir) == 'predictions', 'below the work dir, see WeightsRecordHook'
    assert DATA_SAMPLERS.build(config.test_dataloader.sampler, default_args=dict(dataset=range(6)))
    for hook in (*config.default_hooks.values(), *config.custom_hooks):
        assert HOOKS.build(hook)


@pytest.mark.slow
def test_protocols_are_those_of_their_sources():
    protocols = {
        path.stem: MODELS.build({**Config.fromfile(path).model, 'backbone': nn.Identity()}).protocol
        for path in PROPAGATION
        if path.stem.startswith(('vit-small-p16', 'rvm-vit-small-p16'))
    }
    for data in ('davis2017', 'vip', 'jhmdb'):
        for preset, temperature in (('cropmae', 0.7), ('siammae_paper', 0.07)):
            protocol = protocols[f'vit-small-p16_{preset}_{data}']
            radius = 8 if (preset, data) == ('siammae_paper', 'vip') else 20
            assert (protocol.topk, protocol.queue, protocol.radius) == (10 if data == 'vip' else 7, 20, radius)
            assert protocol.temperature == temperature
    for preset in PROTOCOLS.keys() - {'rvm'}:
        assert protocols[f'vit-small-p16_{preset}_davis2017'] == PROTOCOLS[preset], 'the same by name'
    assert protocols['rvm-vit-small-p16_rvm_davis2017'] == PROTOCOLS['rvm'] == PROTOCOLS['cropmae']
    dino = protocols['vit-small-p16_dino_davis2017']
    assert (dino.topk, dino.queue, dino.radius, dino.window, dino.temperature) == (5, 7, 12, 'square', 0.1)


FOLDERS = ('dropmae', 'siammae', 'droptrack', 'dropseg', 'small', 'dropmae/benchmarks', 'siammae/benchmarks')


@pytest.mark.parametrize('folder', FOLDERS)
@pytest.mark.slow
def test_training_is_safe_under_any_runner(folder):
    """Checkpoints survive kills and schedules follow the config because the config says so, not the tool."""
    for path in (CONFIGS / folder).glob('*.py'):
        config = Config.fromfile(path)
        hooks = config.default_hooks
        assert hooks.checkpoint.type == 'mmvidmae.AtomicCheckpointHook', path
        assert hooks.param_scheduler.type == 'mmvidmae.ScheduleHook', path
        if config.default_scope != 'mmseg' and not folder.endswith('benchmarks'):
            needed = {'mmvidmae.StepSeedHook', 'mmvidmae.NonFiniteLossHook', 'mmvidmae.PreemptionHook'}
            assert needed <= {hook.type for hook in config.custom_hooks}, path
