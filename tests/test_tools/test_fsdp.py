"""Two processes that hold half of the model each."""

from pathlib import Path

import pytest
import torch
from mmengine.runner import CheckpointLoader
from tiny_runs import read_trace, tiny_config

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
ROOT = Path(__file__).resolve().parents[2]
SHARD = 'strategy.type=mmvidmae.FSDPStrategy'
RECOMPUTE = ('model.backbone.with_cp=True', 'model.neck.with_cp=True')


@pytest.mark.skipif(torch.cuda.is_available(), reason='needs a GPU for each process where there is one')
def test_sharded_run_resumes_like_an_unsharded_one(video_dir, tmp_path, start_tool):
    """DropMAE with gradient checkpointing and accumulation, by flags alone. The sharded run is killed in its second
    save and then resumed sharded and unsharded; the whole run has neither shards nor checkpointing."""
    cfg = tiny_config(video_dir, tmp_path / 'whole', custom_imports=dict(imports=['tiny_runs']))
    cfg.optim_wrapper.optimizer.weight_decay = 5.0
    cfg.optim_wrapper.paramwise_cfg = dict(flat_decay_mult=0.0)  # by the shapes of parameters
    cfg.train_cfg.update(max_epochs=2, val_interval=1)
    cfg.custom_hooks += [dict(type='TraceHook'), dict(type='ShareHook'), dict(type='KillHook')]
    cfg.dump(str(tmp_path / 'config.py'))
    kill = f'custom_hooks.{len(cfg.custom_hooks) - 1}.in_save=1'

    def start(work_dir, *options):
        flags = ['--work-dir', tmp_path / work_dir, '--resume', '--cfg-options', 'optim_wrapper.accumulative_counts=2']
        return start_tool(ROOT / 'tools/dist_train.sh', tmp_path / 'config.py', 2, *flags, *options)

    whole, killed = start('whole'), start('sharded', SHARD, *RECOMPUTE, kill)
    code, output = killed()
    assert code != 0
    files = sorted(path.name for path in (tmp_path / 'sharded').glob('*.pth*'))
    assert files[0].startswith('.epoch_2.pth.')
    assert files[1:] == ['epoch_1.pth'], output
    (tmp_path / 'unsharded').mkdir()
    (tmp_path / 'unsharded/last_checkpoint').write_text(str(tmp_path / 'sharded/epoch_1.pth'))
    for wait in (whole, start('sharded', SHARD, *RECOMPUTE), start('unsharded')):
        code, output = wait()
        assert code == 0, output

    shares = [int((tmp_path / name / 'share_0.txt').read_text()) for name in ('whole', 'sharded')]
    assert shares[1] < 0.51 * shares[0]
    trace = {step: pytest.approx(values) for step, values in read_trace(tmp_path / 'whole').items()}
    assert sorted(trace) == [0, 1, 2, 3]
    assert read_trace(tmp_path / 'sharded') == trace
    assert read_trace(tmp_path / 'unsharded') == {step: trace[step] for step in (2, 3)}

    whole, sharded = (
        CheckpointLoader.load_checkpoint(str(tmp_path / name / 'epoch_2.pth')) for name in ('whole', 'sharded')
    )
    assert sharded['state_dict'].keys() == whole['state_dict'].keys()
    for name, weight in whole['state_dict'].items():
        if not name.endswith('bias'):  # Adam makes steps of the rounding errors of a key's bias, whose gradient is 0
            torch.testing.assert_close(sharded['state_dict'][name], weight, rtol=1e-3, atol=1e-5)
    decays = [[group['weight_decay'] for group in end['optimizer']['param_groups']] for end in (whole, sharded)]
    assert decays[0] == decays[1]
    assert set(decays[0]) == {0.0, 5.0}
