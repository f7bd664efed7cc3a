import re
import runpy
import signal
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


def test_killed_run_continues_as_if_nothing_had_happened(video_dir, tmp_path, start_tool):
    """DropMAE with its attention dropout, killed with SIGKILL in the second epoch and again in the save after it."""
    cfg = tiny_config(video_dir, tmp_path / 'whole', custom_imports=dict(imports=['tiny_runs']))
    cfg.default_hooks.checkpoint.type = 'CheckpointHook'  # train.py replaces it by the safe one
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
    assert files == ['epoch_1.pth', 'epoch_2.pth.partial']
    code, output = start('killed', '--resume')()
    assert code == 0, output
    code, output = whole()
    assert code == 0, output

    trace = read_trace(tmp_path / 'whole')
    assert sorted(trace) == list(range(12))
    assert read_trace(tmp_path / 'killed') == trace
    assert len({lr for _, lr in trace.values()}) == 12  # it was still warming up
    ends = [CheckpointLoader.load_checkpoint(str(tmp_path / name / 'epoch_3.pth')) for name in ('whole', 'killed')]
    for name, weight in ends[0]['state_dict'].items():
        assert torch.equal(weight, ends[1]['state_dict'][name]), name
    files = sorted(path.name for path in (tmp_path / 'killed').glob('*.pth*'))
    assert files == ['epoch_2.pth', 'epoch_3.pth']


def test_config_runs_under_mmpretrains_own_tool(video_dir, tmp_path, monkeypatch):
    cfg = tiny_config(video_dir, tmp_path / 'run', model='SiamMAE', train_cfg__max_epochs=1, train_cfg__val_interval=1)
    config = dump(cfg, tmp_path / 'siammae_under_mmpretrain.py')
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, 'argv', ['train.py', str(config)])
    tool = Path(mmpretrain.__file__).parent / '.mim' / 'tools' / 'train.py'
    runpy.run_path(str(tool), run_name='__main__')
    assert (tmp_path / 'run' / 'epoch_1.pth').exists()
    assert (tmp_path / 'run' / 'reconstructions' / 'val_iter_0000004.png').exists()


def test_flags(video_dir, tmp_path, call_tool):
    cfg = tiny_config(video_dir, tmp_path / 'run', train_cfg__max_epochs=1, train_cfg__val_interval=1)
    cfg.pop('work_dir')
    config = dump(cfg, tmp_path / 'flags.py', auto_scale_lr=dict(base_batch_size=4))
    options = ['--cfg-options', 'train_dataloader.batch_size=2', 'model.neck.depth=2']
    call_tool('train.py', config, '--no-validate', '--auto-scale-lr', '--amp', '--local-rank', '0', *options)

    run = tmp_path / 'work_dirs' / 'flags'  # the default, in the current folder
    log = next(run.glob('*/*.log')).read_text()
    assert 'Scaling the original LR by 0.5' in log
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
            r'do not fill a batch: \d+ items.* are \d+ for a process, and train_dataloader\.batch_size is 1000',
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
