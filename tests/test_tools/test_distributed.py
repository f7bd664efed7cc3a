"""Two processes on one machine, with gloo where there is no GPU."""

import math
import signal
import socket
import sys
from pathlib import Path

import pytest
import torch
from tiny_runs import read_trace, tiny_config

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.skipif(torch.cuda.is_available(), reason='needs a GPU for each process where there is one')
class TestTwoProcesses:
    def test_same_loss_as_one_process_at_the_same_total_batch(self, video_dir, tmp_path, start_tool):
        """Two models without noise, each trained by one process with batch 2 and by two processes with batch 1."""
        configs = {1: [], 2: []}
        for processes, paths in configs.items():
            for model in ('TwinMAE', 'SiamMAE'):
                work_dir = tmp_path / f'{model}_{processes}'
                cfg = tiny_config(video_dir, work_dir, model, custom_imports=dict(imports=['tiny_runs']))
                cfg.train_dataloader.batch_size = 2 // processes
                cfg.custom_hooks.append(dict(type='TraceHook'))
                paths.append(work_dir.with_suffix('.py'))
                cfg.dump(str(paths[-1]))
        script = Path(__file__).with_name('run_configs.py')
        launch = [sys.executable, '-m', 'torch.distributed.run', '--nproc_per_node=2', '--rdzv-backend=c10d']
        runs = [
            start_tool(sys.executable, script, 'none', *configs[1]),
            start_tool(*launch, '--rdzv-endpoint=127.0.0.1:0', script, 'pytorch', *configs[2]),
        ]
        for wait in runs:
            code, output = wait()
            assert code == 0, output

        for model in ('TwinMAE', 'SiamMAE'):
            one = read_trace(tmp_path / f'{model}_1')
            ranks = [read_trace(tmp_path / f'{model}_2', rank) for rank in (0, 1)]
            assert sorted(one) == sorted(ranks[0]) == list(range(6))
            for step, (loss, lr) in one.items():
                losses = [trace[step][0] for trace in ranks]
                assert losses[0] != losses[1]  # each has its own pairs
                assert sum(losses) / 2 == pytest.approx(loss, rel=1e-5)
                assert ranks[0][step][1] == lr

    def test_dropmae_trains_validates_and_stops_together_at_a_nan(self, video_dir, tmp_path, start_tool):
        """The loss becomes NaN on rank 1 alone, in the second epoch; the launcher is the user's."""
        cfg = tiny_config(video_dir, tmp_path / 'run', custom_imports=dict(imports=['tiny_runs']))
        cfg.train_cfg.val_interval = 1
        cfg.custom_hooks += [dict(type='TraceHook'), dict(type='PoisonHook', before_iter=3, rank=1)]
        cfg.dump(str(tmp_path / 'config.py'))
        code, output = start_tool(ROOT / 'tools' / 'dist_train.sh', tmp_path / 'config.py', 2)()
        assert code != 0
        # Whichever process raises first makes torchrun end the other, so both may say it, or one.
        assert 'FloatingPointError: The training loss became NaN or infinite at iteration 4 (rank 1)' in output

        work_dir = tmp_path / 'run'
        assert sorted(read_trace(work_dir, rank=0)) == sorted(read_trace(work_dir, rank=1)) == list(range(4))
        assert [path.name for path in work_dir.glob('*.pth')] == ['epoch_1.pth']
        assert math.isfinite(read_trace(work_dir, rank=1)[1][0])
        log = next(work_dir.glob('*/*.log')).read_text()
        assert 'reconstruction/mse' in log

    def test_two_nodes_of_which_one_dies_and_returns(self, video_dir, tmp_path, start_tool):
        """Two launchers with one process each, as on two machines. The second node dies, both are started again, and
        then a signal to one of them stops both after the same iteration. The losses are those of one process."""
        cfg = tiny_config(video_dir, tmp_path / 'one', 'SiamMAE', custom_imports=dict(imports=['tiny_runs']))
        cfg.train_dataloader.batch_size = 2
        cfg.train_dataloader.sampler.samples_per_epoch = 12  # six samples, three iterations
        cfg.train_cfg.max_epochs = 4
        cfg.custom_hooks += [
            dict(type='TraceHook'),
            dict(type='mmvidmae.PreemptionHook', interval=2),
            dict(type='NodeDeathHook'),
            dict(type='InterruptHook', before_iter=-1, number=int(signal.SIGTERM), rank=1),
        ]
        config = tmp_path / 'config.py'
        cfg.dump(str(config))
        dies, asked = (f'custom_hooks.{len(cfg.custom_hooks) - place}.before_iter' for place in (2, 1))

        def start_nodes(*options):
            with socket.socket() as free:
                free.bind(('127.0.0.1', 0))
                port = free.getsockname()[1]
            work_dir = f'--work-dir={tmp_path / "two"}'
            options = ('--resume', '--cfg-options', 'train_dataloader.batch_size=1', *options)
            return [
                start_tool(
                    *('env', 'NNODES=2', f'NODE_RANK={node}', f'PORT={port}', ROOT / 'tools' / 'dist_train.sh'),
                    *(config, 1, work_dir, *options),
                )
                for node in (0, 1)
            ]

        whole = start_tool(sys.executable, ROOT / 'tools' / 'train.py', config)
        first, second = (wait() for wait in start_nodes(f'{dies}=5'))
        assert second[0] == -signal.SIGKILL, second[1]
        assert first[0] > 0, first[1]
        assert (tmp_path / 'two' / 'last_checkpoint').read_text() == 'epoch_1.pth'
        first, second = (wait() for wait in start_nodes(f'{asked}=6'))
        assert 'A signal asked the run to stop (saved)' in first[1]
        assert (tmp_path / 'two' / 'last_checkpoint').read_text() == 'preempted.pth'
        for code, output in [wait() for wait in start_nodes()]:
            assert code == 0, output
        code, output = whole()
        assert code == 0, output

        one = read_trace(tmp_path / 'one')
        ranks = [read_trace(tmp_path / 'two', rank) for rank in (0, 1)]
        assert sorted(one) == sorted(ranks[0]) == sorted(ranks[1]) == list(range(12))
        for step, (loss, _) in one.items():
            assert sum(trace[step][0] for trace in ranks) / 2 == pytest.approx(loss, rel=1e-5)
        assert not (tmp_path / 'two' / 'preempted.pth').exists()
