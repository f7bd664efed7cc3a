from pathlib import Path

import pytest
from mmengine.runner import CheckpointLoader
from tiny_runs import build, tiny_config


@pytest.mark.parametrize('by_epoch', [True, False])
def test_no_checkpoint_after_a_nan(video_dir, tmp_path, by_epoch):
    """The check interval (50) is longer than the run: the checkpoints trigger the checks."""
    config = tiny_config(video_dir, tmp_path / 'run')
    config.custom_hooks.append(dict(type='PoisonHook', before_iter=5))
    if not by_epoch:
        config.train_cfg = dict(by_epoch=False, max_iters=12, val_interval=100)
        config.default_hooks.checkpoint.update(by_epoch=False, interval=2)
    with pytest.raises(FloatingPointError, match=r'iteration 6 \(rank 0\).*learning rate'):
        build(config).train()
    checkpoints = sorted(path.name for path in Path(config.work_dir).glob('*.pth'))
    assert checkpoints == (['epoch_1.pth'] if by_epoch else ['iter_2.pth', 'iter_4.pth'])
    state = CheckpointLoader.load_checkpoint(str(Path(config.work_dir, checkpoints[-1])))['state_dict']
    assert all(value.isfinite().all() for value in state.values())


def test_interval(video_dir, tmp_path):
    config = tiny_config(video_dir, tmp_path / 'run', train_cfg=dict(by_epoch=True, max_epochs=1))
    config.custom_hooks[1].interval = 2
    config.custom_hooks.append(dict(type='PoisonHook', before_iter=0))
    runner = build(config)
    with pytest.raises(FloatingPointError, match='iteration 1 '):
        runner.train()
    assert runner.iter == 1  # the second iteration, not the end of the epoch
