"""T-CoRe in two processes, with whole models and with half a model each."""

from pathlib import Path

import pytest
import torch
from mmengine.runner import CheckpointLoader
from tiny_runs import read_trace, tcore_config

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.skipif(torch.cuda.is_available(), reason='needs a GPU for each process where there is one')
def test_sharded_and_whole_runs_agree_on_teacher_and_centers(video_dir, tmp_path, start_tool):
    cfg = tcore_config(video_dir, tmp_path / 'whole', custom_imports=dict(imports=['tiny_runs']))
    cfg.train_dataloader.batch_size = 1
    cfg.train_cfg.max_epochs = 2
    cfg.custom_hooks.append(dict(type='CentersHook'))
    cfg.dump(str(tmp_path / 'config.py'))
    runs = []
    for name, options in (('whole', ()), ('sharded', ('--cfg-options', 'strategy.type=mmvidmae.FSDPStrategy'))):
        flags = ('--work-dir', tmp_path / name, *options)
        runs.append(start_tool(ROOT / 'tools/dist_train.sh', tmp_path / 'config.py', 2, *flags))
    for wait in runs:
        code, output = wait()
        assert code == 0, output

    centers = [torch.load(tmp_path / name / f'centers_{rank}.pth') for name in ('whole', 'sharded') for rank in (0, 1)]
    assert centers[0].abs().max() > 0
    for others in centers[1:]:
        torch.testing.assert_close(others, centers[0], rtol=1e-4, atol=1e-5)
    assert torch.equal(centers[0], centers[1])
    for rank in (0, 1):
        whole, sharded = (read_trace(tmp_path / name, rank) for name in ('whole', 'sharded'))
        assert whole == {step: pytest.approx(values, rel=1e-4) for step, values in sharded.items()}
    assert read_trace(tmp_path / 'whole', 0) != read_trace(tmp_path / 'whole', 1)  # each has its own clips

    whole, sharded = (
        CheckpointLoader.load_checkpoint(str(tmp_path / name / 'epoch_2.pth'))['state_dict']
        for name in ('whole', 'sharded')
    )
    assert whole.keys() == sharded.keys()
    for name, value in whole.items():
        if name.startswith('teacher.') and not name.endswith('qkv.bias'):  # a key's bias has a gradient of rounding
            torch.testing.assert_close(sharded[name], value, rtol=1e-3, atol=1e-5)
