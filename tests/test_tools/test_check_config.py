"""Misspelled names in a config are found before anything is built, and users' own names are left alone."""

from pathlib import Path

import pytest
from mmengine.config import Config
from tiny_runs import tiny_config

from mmvidmae.apis import get_model
from mmvidmae.engine.check_config import CONFIG_KEYS, ConfigError, check_config

ROOT = Path(__file__).resolve().parents[2]
PIPELINE = 'train_dataloader__dataset__pipeline'


@pytest.fixture
def config(video_dir, tmp_path):
    """A function that gives the tiny config with changes, by keys with ``__`` for dots."""
    return lambda **changes: tiny_config(video_dir, tmp_path / 'run', **changes)


@pytest.mark.parametrize(
    ('key', 'meant'),
    [
        ('train_dataloder', 'train_dataloader'),
        ('optim_wraper', 'optim_wrapper'),
        ('modle', 'model'),
        ('default_hook', 'default_hooks'),
        ('param_schedulers', 'param_scheduler'),
        ('val_evalautor', 'val_evaluator'),
        ('load_form', 'load_from'),
        ('randomnes', 'randomness'),
        ('trian_cfg', 'train_cfg'),
    ],
)
def test_misspelled_names_at_the_top(config, key, meant):
    with pytest.raises(ConfigError, match=f'^{key}: nothing reads this name; did you mean {meant}'):
        check_config(config(**{key: dict(anything=1)}))


@pytest.mark.parametrize('key', ['train_pipeline', 'img_size', 'protocol', 'conv_cfg', 'gallery_dataloader', 'hooks'])
def test_names_of_the_user_are_legal(config, key):
    check_config(config(**{key: dict(anything=1)}))


def test_a_variable_that_is_in_use_is_legal(config):
    cfg = config()
    cfg.train_loader = dict(cfg.train_dataloader)
    cfg.val_evaluator_abs = dict(anything=1)
    cfg.custom_hook = [cfg.custom_hooks[0]]
    check_config(cfg)
    cfg.train_loader.batch_size = 77
    with pytest.raises(ConfigError, match='train_loader: nothing reads this name'):
        check_config(cfg)


@pytest.mark.parametrize(
    ('path', 'message'),
    [
        ('model__backbon', 'model.backbon: DropMAE has no argument backbon; did you mean backbone?'),
        ('model__neck__decoder_dim', 'JointPairDecoder has no argument decoder_dim; did you mean decoder_dims?'),
        ('model__backbone__drop_path_rat', 'PairMAEViT has no argument drop_path_rat; did you mean drop_path_rate?'),
        ('model__head__norm_pixel', 'model.head.norm_pixel: PairReconstructionHead has no argument'),
        ('model__data_preprocessor__means', 'VideoDataPreprocessor has no argument means; did you mean mean?'),
        ('train_dataloader__batchsize', 'the data loader has no argument batchsize; did you mean batch_size?'),
        (
            'train_dataloader__dataset__repeat_sampling',
            'VideoPairDataset has no argument repeat_sampling; did',
        ),
        ('val_dataloader__sampler__shufle', 'PairSampler has no argument shufle; did you mean shuffle?'),
        (f'{PIPELINE}__0__gaps', 'train_dataloader.dataset.pipeline.0.gaps: SampleFramePairs has no argument gaps'),
        ('custom_hooks__3__num_pair', 'custom_hooks.3.num_pair: ReconstructionVisHook has no argument num_pair'),
        ('default_hooks__logger__intervall', 'LoggerHook has no argument intervall; did you mean interval?'),
        ('val_evaluator__prefixx', 'ReconstructionMetric has no argument prefixx; did you mean prefix?'),
        ('train_cfg__max_epoch', 'EpochBasedTrainLoop has no argument max_epoch; did you mean max_epochs?'),
        ('optim_wrapper__optimizer__weight_decy', 'AdamW has no argument weight_decy; did you mean weight_decay?'),
        ('optim_wrapper__clip_gradd', 'OptimWrapper has no argument clip_gradd; did you mean clip_grad?'),
        ('param_scheduler__start_facter', 'LinearLR has no argument start_facter; did you mean start_factor?'),
        ('randomness__sed', 'MMEngine has no argument sed; did you mean seed?'),
    ],
)
def test_misspelled_arguments_of_parts(config, path, message):
    cfg = config()
    cfg.merge_from_dict({path.replace('__', '.'): 1})
    with pytest.raises(ConfigError) as error:
        check_config(cfg)
    assert str(error.value).count('\n') == 0
    assert message in str(error.value)
    assert str(error.value).startswith(path.replace('__', '.'))


def test_options_behind_kwargs(config):
    """CrossPairDecoder takes options of its presets; datasets pass what they do not know on to their base class."""
    cfg = config()
    cfg.model = dict(type='mmvidmae.SiamMAE', neck=dict(depth=2, num_heads=3, dropouts=0.1))
    with pytest.raises(ConfigError, match=r'^model\.neck\.dropouts: CrossPairDecoder .* did you mean dropout'):
        check_config(cfg)
    videos = dict(type='mmvidmae.DAVISDataset', data_root='x', pipeline=[], lazy_init=True, sequence=['a'])
    cfg = Config(dict(test_dataloader=dict(dataset=videos)))
    with pytest.raises(ConfigError, match='DAVISDataset has no argument sequence; did you mean sequences'):
        check_config(cfg)


def test_misspelled_types(config):
    cfg = config(model__type='mmvidmae.DropMEA', custom_hooks=[dict(type='mmvidmae.StepSedHook')])
    cfg.train_dataloader.dataset.type = 'mmvidmae.DAVISForegroundDatset'  # imported on demand
    with pytest.raises(ConfigError) as error:
        check_config(cfg)
    assert str(error.value).splitlines() == [
        'model.type: there is no model mmvidmae.DropMEA; did you mean mmvidmae.DropMAE?',
        'train_dataloader.dataset.type: there is no dataset mmvidmae.DAVISForegroundDatset; did you mean '
        'mmvidmae.DAVISForegroundDataset?',
        'custom_hooks.0.type: there is no hook mmvidmae.StepSedHook; did you mean mmvidmae.StepSeedHook?',
    ]


@pytest.mark.parametrize('tool', ['train.py', 'test.py'])
def test_the_tools_name_the_mistake_in_one_line(config, tmp_path, call_tool, capsys, tool):
    config().dump(str(tmp_path / 'run.py'))
    with pytest.raises(SystemExit):
        call_tool(tool, tmp_path / 'run.py', '--cfg-options', 'model.neck.decoder_dim=4')
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.endswith('run.py: model.neck.decoder_dim: JointPairDecoder has no argument decoder_dim; did you mean '
                         'decoder_dims?')  # fmt: skip


def test_get_model_names_the_mistake(config):
    with pytest.raises(ValueError, match='did you mean decoder_dims'):
        get_model(Config(dict(model=config(model__neck__decoder_dim=4).model)))


def test_shipped_configs_pass():
    paths = [*sorted(ROOT.glob('configs/*/*.py'))[::3], *sorted(ROOT.glob('configs/*/benchmarks/*.py'))[::3]]
    for path in paths:
        if (
            path.parent.name not in ('_base_', 'droptrack', 'frozen_tracking') and 'stark' not in path.stem
        ):  # mmtrack's: see their tests
            check_config(Config.fromfile(path))


def test_keys_of_mmengine():
    assert {'model', 'train_dataloader', 'default_hooks', 'compile'} <= CONFIG_KEYS
    assert 'self' not in CONFIG_KEYS
