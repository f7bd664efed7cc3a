import os
import shutil
import subprocess
import sys
from itertools import count
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.fileio import LocalBackend
from mmengine.model import BaseModel
from mmengine.runner import CheckpointLoader, Runner

from mmvidmae.engine import AtomicCheckpointHook
from mmvidmae.engine.hooks import latest_checkpoint


class Model(BaseModel):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(2, 1)

    def forward(self, inputs, mode='tensor'):
        return dict(loss=self.layer(inputs).square().mean())


@pytest.fixture(scope='module')
def runner(tmp_path_factory):
    """A runner that has trained for an epoch, without any checkpoint."""
    runner = Runner(
        Model(),
        str(tmp_path_factory.mktemp('runner')),
        train_dataloader=torch.utils.data.DataLoader([dict(inputs=torch.ones(2))] * 2),
        train_cfg=dict(by_epoch=True, max_epochs=1),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1)),
        default_hooks=dict(checkpoint=None),
        experiment_name='atomic_checkpoint_hook',
    )
    runner.train()
    return runner


class Crash(BaseException):
    """Stands for a kill."""


class FileSystem:
    """Crashes before the n-th operation on files that matters: a write reaching the disk, a rename, a removal."""

    def __init__(self, monkeypatch, crash_before):
        self.operations = 0
        self.crash_before = crash_before
        for owner, name in ((os, 'fsync'), (Path, 'replace'), (LocalBackend, 'remove')):
            monkeypatch.setattr(owner, name, self.counted(getattr(owner, name)))

    def counted(self, operation):
        def call(*args):
            self.operations += 1
            if self.operations == self.crash_before:
                raise Crash
            return operation(*args)

        return call


def save_epochs(runner, epochs, **settings):
    """What a training loop makes a new hook do in these epochs (from 0), each of which is the best so far."""
    hook = AtomicCheckpointHook(interval=1, **settings)
    hook.before_train(runner)
    for epoch in epochs:
        runner.train_loop._epoch = epoch
        hook.after_train_epoch(runner)
        runner.train_loop._epoch = epoch + 1
        hook.after_val_epoch(runner, dict(loss=1 / (epoch + 1)))


def files(runner):
    return sorted(path.name for path in Path(runner.work_dir).iterdir())


def start_over(runner, work_dir):
    work_dir.mkdir()
    runner._work_dir = str(work_dir)
    runner.message_hub.runtime_info.clear()


def test_a_crash_anywhere_leaves_a_whole_latest_and_best_checkpoint(runner, tmp_path, monkeypatch):
    settings = dict(max_keep_ckpts=1, save_best='loss', rule='less')
    for crash_before in count(1):
        start_over(runner, tmp_path / str(crash_before))
        with monkeypatch.context() as patch:
            FileSystem(patch, crash_before)
            try:
                save_epochs(runner, range(3), **settings)
                break  # no such operation: all are tried
            except Crash:
                pass

        runner.message_hub.runtime_info.clear()
        epoch = 0
        latest = latest_checkpoint(runner.work_dir)
        if crash_before > 4:  # two for the first checkpoint and two for its name
            assert latest is not None
        if latest is not None:
            checkpoint = CheckpointLoader.load_checkpoint(latest)
            runner.message_hub.load_state_dict(checkpoint['message_hub'])
            epoch = checkpoint['meta']['epoch']
        if epoch > 1:
            best = [name for name in files(runner) if name.startswith('best_') and name.endswith('.pth')]
            assert any(
                CheckpointLoader.load_checkpoint(str(Path(runner.work_dir, name)))['state_dict'] for name in best
            )
        save_epochs(runner, range(epoch, 3), **settings)
        left = files(runner)
        assert [name for name in left if name.startswith(('epoch', 'last'))] == ['epoch_3.pth', 'last_checkpoint']
        assert not [name for name in left if name.endswith('.part')]
        assert latest_checkpoint(runner.work_dir).endswith('epoch_3.pth')
    assert crash_before > 15
    assert files(runner) == ['best_loss_epoch_3.pth', 'epoch_3.pth', 'last_checkpoint']


def test_keeps_as_many_as_asked(runner, tmp_path):
    start_over(runner, tmp_path / 'run')
    save_epochs(runner, range(4), max_keep_ckpts=2)
    assert files(runner) == ['epoch_3.pth', 'epoch_4.pth', 'last_checkpoint']


def test_keeps_all_by_default_and_elsewhere(runner, tmp_path):
    start_over(runner, tmp_path / 'run')
    save_epochs(runner, range(3), out_dir=str(tmp_path / 'elsewhere'))
    assert files(runner) == ['last_checkpoint']
    folder = tmp_path / 'elsewhere' / 'run'
    assert sorted(path.name for path in folder.iterdir()) == ['epoch_1.pth', 'epoch_2.pth', 'epoch_3.pth']
    assert Path(latest_checkpoint(runner.work_dir)).samefile(folder / 'epoch_3.pth')
    assert not Path(runner.work_dir, 'last_checkpoint').read_text().startswith('/')


def _train(folder, epochs, **options) -> Runner:
    hooks = dict(
        checkpoint=dict(type='mmvidmae.AtomicCheckpointHook', interval=1), logger=dict(type='LoggerHook', interval=1)
    )
    runner = Runner(
        Model(),
        str(folder),
        train_dataloader=torch.utils.data.DataLoader([dict(inputs=torch.ones(2))] * 3),
        train_cfg=dict(by_epoch=True, max_epochs=epochs),
        optim_wrapper=dict(optimizer=dict(type='AdamW', lr=0.1)),
        param_scheduler=dict(type='LinearLR', end=4),
        default_hooks=hooks,
        experiment_name=f'{Path(folder).name}_{epochs}_{len(options)}',
        **options,
    )
    runner.message_hub.update_info('best_score', np.float64(0.25))
    runner.train()
    return runner


PLAIN = """
import sys
import torch
checkpoint = torch.load(sys.argv[1], weights_only=True)
assert 'mmengine' not in sys.modules and 'mmvidmae' not in sys.modules
print(*sorted(checkpoint), float(checkpoint['state_dict']['layer.bias']))
"""


def test_checkpoints_hold_nothing_that_only_we_can_load(tmp_path):
    """Read where nothing is allow-listed; a resumed run has its log history all the same."""
    first = _train(tmp_path, epochs=1)
    done = subprocess.run(
        [sys.executable, '-c', PLAIN, tmp_path / 'epoch_1.pth'], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    *keys, bias = done.stdout.split()
    assert keys == ['message_hub', 'meta', 'optimizer', 'param_schedulers', 'state_dict']
    assert float(bias) == first.model.layer.bias.item()
    before = first.message_hub.get_scalar('train/loss').data[0]

    second = _train(tmp_path, epochs=2, resume=True, load_from=str(tmp_path / 'epoch_1.pth'))
    history = second.message_hub.get_scalar('train/loss')
    assert len(before) == 3
    assert history.data[0][:3].tolist() == before.tolist()
    assert len(history.data[0]) == 6
    assert history.mean(2) == pytest.approx(history.data[0][-2:].mean())


def test_a_work_dir_that_is_moved_or_copied_has_its_own_checkpoints(runner, tmp_path):
    start_over(runner, tmp_path / 'run')
    save_epochs(runner, range(2), max_keep_ckpts=2, save_best='loss', rule='less')
    assert Path(runner.work_dir, 'last_checkpoint').read_text() == 'epoch_2.pth'
    shutil.copytree(tmp_path / 'run', tmp_path / 'copy')
    original = files(runner)
    runner._work_dir = str(tmp_path / 'copy')
    assert latest_checkpoint(runner.work_dir) == str(tmp_path / 'copy/epoch_2.pth')
    save_epochs(runner, range(2, 3), max_keep_ckpts=2, save_best='loss', rule='less')  # resumed: the hub is as it was
    assert files(runner) == ['best_loss_epoch_3.pth', 'epoch_2.pth', 'epoch_3.pth', 'last_checkpoint']
    assert sorted(path.name for path in (tmp_path / 'run').iterdir()) == original


def test_paths_that_mmengine_wrote(tmp_path):
    assert latest_checkpoint(tmp_path) is None
    (tmp_path / 'old').mkdir()
    (tmp_path / 'new').mkdir()
    for folder in ('old', 'new'):
        (tmp_path / folder / 'last_checkpoint').write_text(str(tmp_path / 'old/epoch_1.pth'))
    with pytest.raises(FileNotFoundError, match=r'names .*epoch_1\.pth, which is not there'):
        latest_checkpoint(tmp_path / 'new')
    (tmp_path / 'old/epoch_1.pth').touch()
    assert latest_checkpoint(tmp_path / 'new') == str(tmp_path / 'old/epoch_1.pth')
    (tmp_path / 'new/epoch_1.pth').touch()
    assert latest_checkpoint(tmp_path / 'new') == str(tmp_path / 'new/epoch_1.pth')
