"""Resumed runs in this process; tests/test_tools/test_train.py kills real ones."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from tiny_runs import build, read_trace, tiny_config

from mmvidmae.engine import StepSeedHook


@pytest.mark.parametrize('loop', ['epochs', 'iterations'])
def test_unseeded_run_resumes_with_its_seed_and_data_order(video_dir, tmp_path, loop):
    """DropMAE draws attention dropout from torch's generator, and its sampler was built with another seed."""
    config = tiny_config(video_dir, tmp_path / 'run', randomness=dict(seed=None))
    config.custom_hooks.append(dict(type='TraceHook'))
    config.default_hooks.checkpoint.max_keep_ckpts = -1
    iterations, resumed_at, checkpoint = 12, 4, 'epoch_1.pth'
    if loop == 'iterations':  # in mid-epoch
        iterations, resumed_at, checkpoint = 8, 3, 'iter_3.pth'
        config.train_cfg = dict(by_epoch=False, max_iters=iterations, val_interval=100)
        config.default_hooks.checkpoint.update(by_epoch=False, interval=3)
    first = build(config)
    first.train()
    uninterrupted = read_trace(Path(config.work_dir))
    assert sorted(uninterrupted) == list(range(iterations))

    config.load_from = str(Path(config.work_dir, checkpoint))
    config.work_dir = str(tmp_path / 'resumed')
    config.resume = True
    second = build(config)
    assert second.seed != first.seed
    second.train()
    assert second.seed == first.seed
    assert read_trace(Path(config.work_dir)) == {step: uninterrupted[step] for step in range(resumed_at, iterations)}


def test_noise_depends_on_seed_step_and_rank():
    def noise(seed, step, rank):
        StepSeedHook().before_train_iter(SimpleNamespace(seed=seed, iter=step, rank=rank), batch_idx=0)
        return torch.rand(4).tolist()

    draws = [noise(*step) for step in [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1)]]
    assert all(a != b for i, a in enumerate(draws) for b in draws[:i])
    assert noise(0, 1, 0) == draws[2]
