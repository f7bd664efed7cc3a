import json
import os
import re
import runpy
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import mmpretrain
import pytest
import torch
from mmengine.config import Config
from mmengine.runner import CheckpointLoader
from tiny_runs import read_trace, tiny_config

TRAIN = Path(__file__).resolve().parents[2] / 'tools' / 'train.py'


def dump(cfg: Config, path: Path, **changes) -> Path:
    cfg.merge_from_dict({key.replace('__', '.'): value for key, value in changes.items()})
    cfg.dump(str(path))
    return path


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_killed_run_continues_as_if_nothing_had_happened(video_dir, tmp_path, start_tool):
    """DropMAE with its attention dropout, killed with SIGKILL in the second epoch and again in the save after it."""
    cfg = tiny_config(video_dir, tmp_path / 'whole', custom_imports=dict(imports=['tiny_runs']))
    cfg.train_dataloader.update(num_workers=1, persistent_workers=True)
    cfg.custom_hooks += [dict(type='TraceHook'), dict(type='KillHook')]
    config = dump(cfg, tmp_path / 'config.py')
    kill = f'custom_hooks.{len(cfg.custom_hooks) - 1}'

    def start(work_dir, *arguments):
        return start_tool(sys.executable, TRAIN, config, '--work-dir', tmp_path / work_dir, *arguments)

    whole = start('whole')  # meanwhile
    code, output = start('killed', '--cfg-options', f'{kill}.before_iter=6')()
    assert code == -signal.SIGKILL, output
    code, output = start('killed', '--resume', '--cfg-options', f'{kill}.in_save=0')()
    assert code == -signal.SIGKILL, output
    files = sorted(path.name for path in (tmp_path / 'killed').glob('*.pth*'))
    assert files[0].startswith('.epoch_2.pth.')
    assert files[1:] == ['epoch_1.pth']
    (tmp_path / 'killed').rename(tmp_path / 'moved')  # a work dir resumes from its own files, wherever it is
    code, output = start('moved', '--resume')()
    assert code == 0, output
    code, output = whole()
    assert code == 0, output

    trace = read_trace(tmp_path / 'whole')
    assert sorted(trace) == list(range(12))
    assert read_trace(tmp_path / 'moved') == trace
    assert len({lr for _, lr in trace.values()}) == 12  # it was still warming up
    ends = [CheckpointLoader.load_checkpoint(str(tmp_path / name / 'epoch_3.pth')) for name in ('whole', 'moved')]
    for name, weight in ends[0]['state_dict'].items():
        assert torch.equal(weight, ends[1]['state_dict'][name]), name
    files = sorted(path.name for path in (tmp_path / 'moved').glob('*.pth*'))
    assert files == ['epoch_2.pth', 'epoch_3.pth']


def test_config_runs_under_mmpretrains_own_tool(video_dir, tmp_path, monkeypatch):
    cfg = tiny_config(video_dir, tmp_path / 'run', model='SiamMAE', train_cfg__max_epochs=1, train_cfg__val_interval=1)
    config = dump(cfg, tmp_path / 'siammae_under_mmpretrain.py')
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, 'argv', ['train.py', str(config)])
    tool = Path(mmpretrain.__file__).parent / '.mim' / 'tools' / 'train.py'
    runpy.run_path(str(tool), run_name='__main__')
    assert (tmp_path / 'run' / 'epoch_1.pth').exists()
    assert len(list((tmp_path / 'run').glob('*/vis_data/vis_image/val_reconstruction_4.png'))) == 1


def test_flags(video_dir, tmp_path, call_tool):
    cfg = tiny_config(video_dir, tmp_path / 'run', train_cfg__max_epochs=1, train_cfg__val_interval=1)
    cfg.pop('work_dir')
    config = dump(cfg, tmp_path / 'flags.py', auto_scale_lr=dict(base_batch_size=4))
    options = ['--cfg-options', 'train_dataloader.batch_size=2', 'model.neck.depth=2']
    call_tool('train.py', config, '--no-validate', '--auto-scale-lr', '--amp', '--local-rank', '0', *options)

    run = tmp_path / 'work_dirs' / 'flags'  # the default, in the current folder
    log = next(run.glob('*/*.log')).read_text()
    scaled = r'multiplied by 1, .*is 4 \(1 processes x batch_size 2 x 2 pairs per sample x accumulative_counts 1\)'
    assert re.search(scaled, log)
    assert 'Epoch(val)' not in log
    weights = CheckpointLoader.load_checkpoint(str(run / 'epoch_1.pth'))['state_dict']
    assert len({name.split('.')[2] for name in weights if name.startswith('neck.decoder_blocks.')}) == 2
    written = Config.fromfile(run / 'flags.py')
    amp = 'AmpOptimWrapper' if torch.cuda.is_available() else 'OptimWrapper'
    assert written.optim_wrapper.get('type', 'OptimWrapper') == amp


def test_compile_flag_compiles_one_graph_for_the_whole_run(video_dir, tmp_path, call_tool):
    """MMEngine's flag; its own way would give dozens of graphs."""
    cfg = tiny_config(video_dir, tmp_path / 'run', train_cfg__max_epochs=1, train_cfg__val_interval=1)
    config = dump(cfg, tmp_path / 'compiled.py')
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    call_tool('train.py', config, '--cfg-options', 'compile.backend=eager', 'compile.fullgraph=True')
    assert torch._dynamo.utils.counters['stats']['unique_graphs'] == 1
    assert (tmp_path / 'run' / 'epoch_1.pth').exists()


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['nothing.py'], 'config nothing.py does not exist'),
        (['bad_syntax.py'], 'bad_syntax.py: .*never closed'),
        (['no_model.py'], 'no_model.py has no model'),
        (['good.py', '--resume', 'nothing.pth'], 'checkpoint nothing.pth does not exist'),
        (['good.py', '--resume', '.'], 'checkpoint . is not a file'),
        (['good.py', '--auto-scale-lr'], 'good.py has no auto_scale_lr'),
        (['good.py', '--cfg-options', 'seed'], '--cfg-options seed: expected key=value'),
        (['good.py', '--cfg-options', 'modle.neck.depth=1'], 'good.py has no modle; did you mean model?'),
        (['good.py', '--cfg-options', 'custom_hooks.9.interval=1'], '--cfg-options: Index 9 exceeds'),
        (
            ['good.py', '--cfg-options', 'train_dataloader.batch_size=1000', 'train_dataloader.drop_last=True'],
            r'do not fill a batch: \d+ items.* give \d+ per process, and train_dataloader\.batch_size is 1000',
        ),
    ],
)
def test_mistakes_give_one_clear_message(video_dir, tmp_path, call_tool, capsys, arguments, message):
    dump(tiny_config(video_dir, tmp_path / 'run'), tmp_path / 'good.py')
    (tmp_path / 'bad_syntax.py').write_text('model = dict(\n')
    (tmp_path / 'no_model.py').write_text('train_cfg = dict()\n')
    with pytest.raises(SystemExit) as exit:
        call_tool('train.py', *arguments)
    assert exit.value.code == 2
    last_line = capsys.readouterr().err.splitlines()[-1]
    assert re.search(message, last_line), last_line


def test_resume_without_a_checkpoint_starts_over_and_says_so(video_dir, tmp_path, call_tool, capfd):
    """Also without workers, which the config asks for."""
    cfg = tiny_config(video_dir, tmp_path / 'run', train_cfg__max_epochs=1, train_cfg__val_interval=1)
    for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        loader.update(num_workers=1, persistent_workers=True, prefetch_factor=2)
    config = dump(cfg, tmp_path / 'config.py')
    none = [f'{name}_dataloader.num_workers=0' for name in ('train', 'val', 'test')]
    call_tool('train.py', config, '--resume', '--cfg-options', *none)
    assert f'there is no checkpoint in {tmp_path}/run, so training starts' in ''.join(capfd.readouterr())
    assert (tmp_path / 'run/epoch_1.pth').exists()
    (tmp_path / 'run/epoch_1.pth').unlink()
    with pytest.raises(SystemExit):
        call_tool('train.py', config, '--resume')
    assert 'last_checkpoint names epoch_1.pth, which is not there' in capfd.readouterr().err


def test_what_cannot_be_resumed_gives_one_message(video_dir, tmp_path, call_tool, capsys):
    changes = dict(default_hooks__checkpoint__by_epoch=False, train_cfg__max_epochs=1)
    cfg = tiny_config(video_dir, tmp_path / 'run', val_cfg=None, val_dataloader=None, val_evaluator=None, **changes)
    config = dump(cfg, tmp_path / 'config.py')
    call_tool('train.py', config)
    other = ['--cfg-options', 'train_dataloader.batch_size=2', '--work-dir', tmp_path / 'other']
    with pytest.raises(SystemExit):
        call_tool('train.py', config, '--resume', tmp_path / 'run/iter_3.pth', *other)
    message = capsys.readouterr().err.splitlines()[-1]
    assert 'error: --resume: The checkpoint was saved at iteration 3, which is not the end of an epoch' in message


@pytest.mark.slow
def test_interrupted_run_says_how_to_go_on(video_dir, tmp_path, start_tool, call_tool, capfd):
    """Ctrl-C reaches the loader's worker, too."""
    cfg = tiny_config(video_dir, tmp_path / 'run', custom_imports=dict(imports=['tiny_runs']))
    cfg.train_dataloader.update(num_workers=1, persistent_workers=True)
    cfg.custom_hooks.append(dict(type='InterruptHook', before_iter=5))
    config = dump(cfg, tmp_path / 'config.py')
    code, output = start_tool('setsid', '--wait', sys.executable, TRAIN, config)()
    assert code == 130, output
    assert 'Traceback' not in output
    assert output.splitlines()[-1] == (
        f'Stopped in epoch 2, after 5 iterations; the latest checkpoint is {tmp_path}/run/epoch_1.pth. '
        'To continue, run the same command with --resume.'
    )
    early = f'custom_hooks.{len(cfg.custom_hooks) - 1}.before_iter=1'
    with pytest.raises(SystemExit) as stopped:
        call_tool('train.py', config, '--work-dir', tmp_path / 'other', '--cfg-options', early)
    assert stopped.value.code == 130
    told = 'Stopped in epoch 1, after 1 iterations; no checkpoint was saved so far. Run it again to start over.'
    assert told in capfd.readouterr().err


@pytest.mark.parametrize(
    ('number', 'accumulated', 'stops_at'), [('SIGTERM', 1, 6), ('SIGUSR1', 2, 6), ('SIGTERM', 4, 8)]
)
def test_preempted_run_saves_and_continues_within_the_epoch(
    video_dir, tmp_path, call_tool, capfd, number, accumulated, stops_at
):
    """The signal comes in the sixth iteration; an epoch has four. Optimizer steps are completed."""
    cfg = tiny_config(video_dir, tmp_path / 'whole')
    cfg.optim_wrapper.accumulative_counts = accumulated
    cfg.custom_hooks += [dict(type='TraceHook'), dict(type='mmvidmae.PreemptionHook')]
    call_tool('train.py', dump(cfg, tmp_path / 'whole.py'))
    cfg.work_dir = str(tmp_path / 'run')
    resumed = dump(cfg, tmp_path / 'resumed.py')
    cfg.custom_hooks.append(dict(type='InterruptHook', before_iter=5, number=int(signal.Signals[number])))
    before = signal.getsignal(signal.Signals[number])
    with pytest.raises(SystemExit) as stopped:
        call_tool('train.py', dump(cfg, tmp_path / 'stopped.py'))
    assert stopped.value.code == 75
    assert signal.getsignal(signal.Signals[number]) == before
    latest = 'preempted.pth'
    assert capfd.readouterr().err.splitlines()[-1] == (
        f'A signal asked the run to stop (saved); the latest checkpoint is {tmp_path}/run/{latest}. '
        'To continue, run the same command with --resume.'
    )
    assert max(read_trace(tmp_path / 'run')) == stops_at - 1
    call_tool('train.py', resumed, '--resume')
    assert read_trace(tmp_path / 'run') == read_trace(tmp_path / 'whole')
    assert not (tmp_path / 'run' / latest).exists()


def test_slurm_job_is_queued_again_and_resumes(tmp_path):
    """With stand-ins for Slurm's programs: the job is preempted first."""
    for name, line in (('srun', 'echo "$@" >> srun.txt; exit $CODE'), ('scontrol', 'echo "$@" > scontrol.txt')):
        (tmp_path / name).write_text(f'#!/bin/bash\n{line}\n')
        (tmp_path / name).chmod(0o755)
    script = TRAIN.with_name('slurm_train.sh')

    def run(code: int, **variables) -> int:
        path = f'{tmp_path}{os.pathsep}{os.environ["PATH"]}'
        environment = dict(os.environ, PATH=path, CODE=str(code), **variables)
        command = ['bash', script, 'gpu', 'job', 'config.py', 'work', '--amp']
        return subprocess.run(command, cwd=tmp_path, env=environment).returncode

    assert run(75, SLURM_JOB_ID='17', GRACE='60', SRUN_ARGS='--quiet') == 75
    assert (tmp_path / 'scontrol.txt').read_text() == 'requeue 17\n'
    (tmp_path / 'scontrol.txt').unlink()
    assert run(0, SLURM_JOB_ID='17', SLURM_RESTART_COUNT='1') == 0
    assert run(1, SLURM_JOB_ID='17') == 1
    assert run(75) == 75
    assert not (tmp_path / 'scontrol.txt').exists()
    first, second, *_ = (tmp_path / 'srun.txt').read_text().splitlines()
    assert '--signal=USR1@60 --quiet' in first
    assert first.endswith('--launcher slurm config.py --work-dir work --amp')
    assert second.endswith('--launcher slurm config.py --work-dir work --resume --amp')


@pytest.mark.slow
def test_eight_clips_and_the_demos_config_learn(video_dir, tmp_path, call_tool):
    """One step an epoch: the first is at the full rate, and the log says how few there are."""
    for copy in range(8):
        (tmp_path / 'clips').mkdir(exist_ok=True)
        shutil.copy(video_dir / 'f f.mp4', tmp_path / f'clips/{copy}.mp4')
    options = [f'train_dataloader.dataset.data_root={tmp_path}', 'train_dataloader.dataset.ann_file=']
    options += ['train_dataloader.num_workers=0', 'train_cfg.max_epochs=2', 'param_scheduler.1.end=2']
    config = TRAIN.parents[1] / 'configs/dropmae/dropmae_vit-micro-p4_1xb2-coslr-6e_demo.py'
    call_tool('train.py', config, '--no-validate', '--work-dir', tmp_path / 'run', '--cfg-options', *options)
    rows = map(json.loads, next((tmp_path / 'run').glob('*/vis_data/scalars.json')).read_text().splitlines())
    assert next(rows)['lr'] == pytest.approx(1.2e-3)
    assert 'This run has 2 steps (2 epochs of 1) in all' in next((tmp_path / 'run').glob('*/*.log')).read_text()
