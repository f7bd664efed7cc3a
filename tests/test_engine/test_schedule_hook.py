"""Schedules follow the config: resumed with other settings, scaled, and where a run is short."""

import json
import re
from pathlib import Path

import pytest
from mmengine.config import Config
from tiny_runs import build, read_trace, tiny_config

from mmvidmae.engine.hooks import CannotResume
from mmvidmae.engine.hooks.schedule_hook import compare_configs


def config(video_dir: Path, work_dir: Path, epochs: int, batch_size: int = 1, **changes) -> Config:
    """A run with warm-up in its first epoch and half a cosine to its end, set in every iteration: 4 / ``batch_size``
    iterations an epoch."""
    cfg = tiny_config(video_dir, work_dir, 'TwinMAE', val_cfg=None, val_dataloader=None, val_evaluator=None)
    cfg.train_cfg = dict(by_epoch=True, max_epochs=epochs)
    cfg.train_dataloader.batch_size = batch_size
    cfg.param_scheduler = [
        dict(type='mmvidmae.LinearLR', start_factor=1e-3, end=1, convert_to_iter_based=True),
        dict(type='CosineAnnealingLR', begin=1, end=epochs, T_max=epochs - 1, convert_to_iter_based=True),
        dict(type='MultiStepLR', milestones=[epochs - 1], gamma=0.5),
    ]
    cfg.custom_hooks.append(dict(type='TraceHook'))
    cfg.merge_from_dict({key.replace('__', '.'): value for key, value in changes.items()})
    return cfg


def rates(cfg: Config) -> dict[int, float]:
    build(cfg).train()
    return {step: lr for step, (_, lr) in read_trace(Path(cfg.work_dir)).items()}


@pytest.fixture(scope='module')
def stopped(video_dir, tmp_path_factory) -> Path:
    """The checkpoint after the first of two epochs of four iterations."""
    folder = tmp_path_factory.mktemp('stopped') / 'run'
    build(config(video_dir, folder, epochs=2)).train()
    return folder / 'epoch_1.pth'


@pytest.mark.parametrize(
    'changes',
    [
        dict(epochs=4),
        dict(epochs=2, batch_size=2),
        dict(epochs=3, batch_size=4, optim_wrapper__optimizer__lr=5e-3),
        dict(epochs=3, train_dataloader__sampler__samples_per_epoch=12),
    ],
    ids=['more epochs', 'another batch size', 'another rate', 'another list'],
)
def test_a_resumed_run_has_the_schedule_of_its_config(video_dir, stopped, tmp_path, changes):
    """Its rates are those of a run of this config that never stopped, from the second epoch on."""
    whole = rates(config(video_dir, tmp_path / 'whole', **changes))
    length = len(whole) // changes['epochs']
    resumed = config(video_dir, tmp_path / 'resumed', **changes, resume=True, load_from=str(stopped))
    assert rates(resumed) == {step: rate for step, rate in whole.items() if step >= length}


def test_the_log_says_what_differs(video_dir, stopped, tmp_path):
    cfg = config(video_dir, tmp_path / 'run', epochs=3, batch_size=2, resume=True, load_from=str(stopped))
    build(cfg).train()
    log = next((tmp_path / 'run').glob('*/*.log')).read_text()
    assert 'The config differs from that of the checkpoint:' in log
    for line in (
        'train_dataloader.batch_size: 1 -> 2',
        'train_cfg.max_epochs: 2 -> 3',
        'param_scheduler.1.end: 2 -> 3',
    ):
        assert f'\n  {line}\n' in log
    assert '\n  load_from' not in log
    assert 'An epoch has 2 iterations now and had 4: resuming after epoch 1' in log


def test_a_finished_run_says_that_nothing_is_left(video_dir, stopped, tmp_path):
    build(
        config(video_dir, tmp_path / 'run', epochs=2, resume=True, load_from=str(stopped.with_name('epoch_2.pth')))
    ).train()
    assert (
        'train_cfg.max_epochs is 2: there is nothing left to train'
        in next((tmp_path / 'run').glob('*/*.log')).read_text()
    )


def test_within_an_epoch(video_dir, tmp_path):
    """The same data and rates where epochs are as they were; refused where they are not."""
    saving = dict(default_hooks__checkpoint__by_epoch=False, default_hooks__checkpoint__max_keep_ckpts=-1)
    cfg = config(video_dir, tmp_path / 'whole', epochs=2, **saving)
    build(cfg).train()
    whole = read_trace(tmp_path / 'whole')
    checkpoint = str(tmp_path / 'whole/iter_6.pth')
    build(config(video_dir, tmp_path / 'resumed', epochs=2, **saving, resume=True, load_from=checkpoint)).train()
    assert read_trace(tmp_path / 'resumed') == {step: whole[step] for step in (6, 7)}
    other = config(video_dir, tmp_path / 'other', epochs=2, batch_size=2, resume=True, load_from=checkpoint)
    with pytest.raises(
        CannotResume, match=r'at iteration 6, which is not the end of an epoch: 1 epochs of 4 iterations'
    ):
        build(other).train()


def test_a_schedule_that_follows_a_metric_is_kept_or_refused(video_dir, tmp_path):
    def run(name, factor=0.1, **changes):
        cfg = tiny_config(video_dir, tmp_path / name, 'TwinMAE', train_cfg__val_interval=1, **changes)
        cfg.param_scheduler = dict(type='ReduceOnPlateauLR', monitor='reconstruction/mse', factor=factor)
        build(cfg).train()

    run('first', train_cfg__max_epochs=1)
    resume = dict(resume=True, load_from=str(tmp_path / 'first/epoch_1.pth'))
    run('same', train_cfg__max_epochs=2, **resume)
    with pytest.raises(CannotResume, match='ReduceOnPlateauLR follows a metric'):
        run('other', factor=0.5, **resume)


@pytest.mark.parametrize('end', [1, 0.5])
def test_a_warm_up_of_one_step_or_less_reaches_the_full_rate(video_dir, tmp_path, end):
    cfg = config(video_dir, tmp_path / 'run', epochs=4, batch_size=4, param_scheduler__0__end=end)
    cfg.param_scheduler.pop()
    trace = rates(cfg)
    assert trace[0] == pytest.approx(1e-3)
    assert all(later < earlier for earlier, later in zip(list(trace.values())[1:], list(trace.values())[2:]))
    assert (
        'This run has 4 steps (4 epochs of 1) in all: too few' in next((tmp_path / 'run').glob('*/*.log')).read_text()
    )


@pytest.mark.parametrize(
    ('scheduler', 'message'),
    [
        (
            dict(type='LinearLR', end=1, convert_to_iter_based=True),
            r"LinearLR has a single step .* type='mmvidmae.LinearLR'",
        ),
        (dict(type='mmvidmae.LinearLR', end=9), 'LinearLR ends at epoch 9, but the run ends at 1'),
        (dict(type='MultiStepLR', milestones=[50], by_epoch=False), 'MultiStepLR ends at iteration 51, but'),
    ],
)
def test_a_schedule_that_does_not_fit_is_told(video_dir, tmp_path, scheduler, message):
    cfg = config(video_dir, tmp_path / 'run', epochs=1, batch_size=4)
    cfg.param_scheduler = [scheduler]
    build(cfg).train()
    assert re.search(message, next((tmp_path / 'run').glob('*/*.log')).read_text())


def test_scaled_rates_count_pairs_and_accumulation(video_dir, tmp_path):
    """2 clips x 2 pairs x 2 batches a step are 8 pairs; the rate is for 32. Resumed, it is scaled anew."""
    scaled = dict(auto_scale_lr=dict(enable=True, base_batch_size=32), optim_wrapper__accumulative_counts=2)
    # with it, the log has base_lr
    scaled['optim_wrapper__paramwise_cfg'] = dict(custom_keys=dict(neck=dict(lr_mult=1.0)))
    first = rates(config(video_dir, tmp_path / 'first', epochs=2, batch_size=2, **scaled))
    plain = rates(config(video_dir, tmp_path / 'plain', epochs=2, batch_size=2))
    assert first == {step: pytest.approx(rate / 4) for step, rate in plain.items()}
    (log,) = (tmp_path / 'first').glob('*/vis_data/scalars.json')
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert lines
    assert all(line['base_lr'] == pytest.approx(line['lr']) for line in lines if 'lr' in line)
    more = dict(scaled, train_dataloader__dataset__repeated_sampling=4, resume=True)
    more['load_from'] = str(tmp_path / 'first/epoch_1.pth')
    assert rates(config(video_dir, tmp_path / 'more', epochs=2, batch_size=1, **more)) == {
        step: pytest.approx(rate / 4) for step, rate in plain.items() if step >= 2
    }


def test_configs_are_compared_and_not_run(tmp_path):
    mark = tmp_path / 'mark'
    old = f"model = dict(type='A', neck=dict(depth=1))\nhooks = [dict(a=1), dict(b=[1, 2])]\nx = open('{mark}', 'w')\n"
    new = "model = dict(type='A', neck=dict(depth=2), head=None)\nhooks = [dict(a=1), dict(b=[1, 3])]\nwork_dir = 'w'\n"
    assert compare_configs(old, new) == [
        '  model.neck.depth: 1 -> 2',
        '  model.head: (not set) -> None',
        '  hooks.1.b: [1, 2] -> [1, 3]',
        f"  x: open('{mark}', 'w') -> (not set)",
    ]
    assert not mark.exists()
    assert compare_configs('model = dict(', new) == []
