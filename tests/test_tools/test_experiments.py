"""The comparison of methods: its measures, and all of it on made-up data."""

import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmpretrain.structures import DataSample

from mmvidmae.models import PairMAE
from mmvidmae.registry import MODELS

ROOT = Path(__file__).resolve().parents[2]
METHODS = sorted(path.name.partition('_')[0] for path in (ROOT / 'configs/small').glob('*_vit-tiny6-*_clips.py'))


@pytest.fixture
def measures(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / 'tools/experiments')
    import measures

    return measures


def small(method: str):
    init_default_scope('mmpretrain')
    torch.manual_seed(0)
    config = Config.fromfile(ROOT / f'configs/small/{method}_vit-tiny6-p8_1xb8-coslr-20e_clips.py').model
    backbone = config.backbone.get('encoder', config.backbone)
    backbone.pop('init_cfg', None)
    backbone.update(
        arch=dict(embed_dims=24, num_layers=2, num_heads=2, feedforward_channels=48), img_size=32, patch_size=4
    )
    if 'neck' in config:
        sizes = dict(depth=2, num_heads=2)
        config.neck.update(sizes if method == 'tcore' else dict(sizes, decoder_dims=32))
    if config.type == 'mmvidmae.CropMAE':
        config.masking.mask_ratio = (0.0, 0.95)  # of 64 patches, 1.5 % is none
    model = MODELS.build(config)
    model.init_weights()
    return model.eval()


@pytest.mark.parametrize('method', METHODS)
def test_matching_under_known_motion(measures, method):
    from small_pretraining import METHODS

    model = small(method)
    frames = torch.randint(256, (4, 3, 32, 32), dtype=torch.uint8)
    motion = measures.warp_frames(frames, model.backbone.patch_resolution)
    features = measures.feature_accuracy(model, motion)
    last_only = method in ('rvm', 'cosettle', 'tcore')
    assert len(features.accuracy) == (1 if last_only else 2)
    assert all(0 <= share <= 1 for share in features.accuracy)
    if isinstance(model, PairMAE):
        attention = measures.attention_accuracy(model, motion)
        assert (attention is None) == (method in ('mae', 'rvm')), 'no branch that reads frame 0 and predicts frame 1'
        assert attention is None or len(attention.accuracy) == 2
    assert METHODS[method].title


@pytest.mark.parametrize('method', [method for method in METHODS if method not in ('cosettle', 'tcore')])
def test_loss_with_another_earlier_frame(measures, method):
    from small_pretraining import METHODS

    model = small(method)
    assert model.num_frames == METHODS[method].frames
    pairs = torch.randn(3, 2, 3, 32, 32)
    foreign = torch.stack((pairs[:, 0].roll(1, 0), pairs[:, 1]), dim=1)
    true = measures.future_error(model, pairs, seed=0)
    assert true.shape == (3,)
    assert torch.equal(measures.future_error(model, pairs, seed=0), true)
    changes = not torch.equal(measures.future_error(model, foreign, seed=0), true)
    assert changes == (method != 'mae')
    if method != 'mae' and not model.masking.joint:  # what the first branch predicts: its loss of training
        earlier = model.neck.branches[0].memory
        clips = torch.stack([pairs[:, int(frame not in earlier)] for frame in range(model.num_frames)], dim=1)
        draws = model._draws(clips, [DataSample(metainfo=dict(seed=number)) for number in range(3)])
        branch, losses = model.neck.branches[0], model.forward_pretrain(clips, **draws).losses
        torch.testing.assert_close(true.mean() * branch.weight, losses[branch.loss_name])
    if method == 'dropmae':
        missing = [measures.future_error(model, shown, seed=0, missing=True) for shown in (pairs, foreign)]
        assert torch.equal(*missing), 'nothing of the earlier frame is seen'
        assert not torch.equal(missing[0], true)
        assert not model.masking._forward_hooks, 'no hook is left behind'


def test_missing_shows_the_same_patches_of_the_later_frame(measures):
    """What is hidden of the later frame does not depend on the condition, and is as much as in training."""
    model = small('dropmae')
    pairs = torch.randn(3, 2, 3, 32, 32)
    seen = []
    model.backbone.register_forward_pre_hook(lambda _, args: seen.append(args[1][0].mask))
    measures.future_error(model, pairs, seed=0)
    measures.future_error(model, pairs, seed=0, missing=True)
    true, missing = seen
    assert torch.equal(true[:, 64:], missing[:, 64:])
    assert true.unflatten(1, (2, 64)).sum(-1).eq(48).all()
    assert missing[:, :64].all()


def test_budget_of_pictures(measures):
    from small_pretraining import METHODS, epochs_of

    assert {epochs_of(method, 16) for method in METHODS if METHODS[method].frames == 2} == {16}
    assert epochs_of('catmae', 16) == 11  # 33 pictures of each clip, not 32
    assert epochs_of('catmae', 2) == 2, 'the first epoch is warm-up'


def test_budget_of_seconds(measures, video_dir, tmp_path, monkeypatch):
    """Training ends after its time, whatever the epoch, and a run that was killed repeats the epoch it was in."""
    import time_budget
    from mmengine.hooks import Hook
    from mmengine.registry import HOOKS

    monkeypatch.setattr(time_budget, 'process_time', itertools.count().__next__)  # a second for each step
    (tmp_path / 'clips').symlink_to(video_dir)
    (tmp_path / 'clips.txt').write_text(''.join(f'{path.name}\n' for path in sorted(video_dir.iterdir())))
    changes = {
        'model.backbone.arch': dict(embed_dims=24, num_layers=1, num_heads=2, feedforward_channels=48),
        'model.backbone.img_size': 32,
        'model.backbone.patch_size': 4,
        'model.neck.decoder_dims': 16,
        'model.neck.depth': 1,
        'train_dataloader.batch_size': 2,
        'train_dataloader.dataset.repeated_sampling': 1,
        'val_dataloader.dataset.indices': 2,
        'default_hooks.logger.interval': 1,
        **{f'{part}_dataloader.{key}': 0 for part in ('train', 'val') for key in ('num_workers', 'persistent_workers')},
    }
    rates = []

    @HOOKS.register_module(force=True)
    class KillAndWatch(Hook):
        kill = 4

        def before_train_iter(self, runner, batch_idx, data_batch=None):
            if runner.iter == self.kill:
                raise KeyboardInterrupt
            assert runner.iter == 0 or runner.max_iters == 5, 'what the schedule of a teacher counts on'
            rates.append((runner.iter, *runner.optim_wrapper.get_lr()['lr'][:1]))

    def pretrain(name):
        hooks = dict(changes, **{'default_hooks.watch': dict(type='KillAndWatch')})
        return measures.pretrain(str(tmp_path), name, 'siammae', hooks, seed=0, saves=2, seconds=5.0)

    with pytest.raises(KeyboardInterrupt):
        pretrain('killed')
    assert [step for step, _ in rates] == [0, 1, 2, 3]
    KillAndWatch.kill = None
    killed = pretrain('killed')
    seen = rates[:3] + rates[4:]
    assert [step for step, _ in seen] == [0, 1, 2, 3, 4]
    assert seen[3] == rates[3]
    assert seen[0][1] < seen[1][1] > seen[2][1] > seen[3][1] > seen[4][1] > 0
    assert seen[1][1] == pytest.approx(1e-3 * time_budget.rate(0.2))
    assert (killed['steps'], killed['pictures'], killed['part_steps'], killed['training_seconds']) == (5, 20, [3, 5], 5)
    rates.clear()
    whole = pretrain('whole')
    assert rates == seen
    ends = [tmp_path / f'runs/{name}/part_2.pth' for name in ('killed', 'whole')]
    first, second = (torch.load(path, weights_only=True)['state_dict'] for path in ends)
    assert all(torch.equal(first[key], second[key]) for key in first)
    assert whole['val_loss'][-1] == killed['val_loss'][-1]


def test_plot_of_ablations(measures, tmp_path):
    """What is there is drawn; a value without results stays empty."""
    import report

    (tmp_path / 'results').mkdir()
    results = {
        'early-short-a-0': dict(loss=dict(true=0.5, foreign=0.75)),
        'frozen64-short-a-0': {'dino': {'J&F-Mean': 40.0}, 'cropmae': {'J&F-Mean': 50.0}},
    }
    for name, result in results.items():
        (tmp_path / f'results/{name}.json').write_text(json.dumps(dict(result=result)))
    values = {'first': ('a', 'dropmae', {}), 'second': ('b', 'dropmae', {})}
    found = report.Results(tmp_path, [*results, 'early-short-b-0'])
    score, cost = report.plot_ablations(found, [0], {'what': values}, 64).axes
    assert [line.get_xydata().tolist() for line in score.lines] == [[[0, 40]], [[0, 50]]]
    assert [bar.get_height() for bar in cost.patches] == [0.25]
    assert [text.get_text() for text in cost.get_xticklabels()] == ['first', 'second']


def test_plot_of_correspondence_over_training(measures, tmp_path):
    """Points of all checkpoints, from random weights on; an unfinished method has its beginning only."""
    import report

    def early(match, attention, foreign):
        return dict(
            feature_accuracy=[0.9, match],
            attention_accuracy=attention,
            feature_chance=0.02,
            attention_chance=0.03,
            loss=dict(true=0.5, foreign=foreign),
        )

    (tmp_path / 'results').mkdir()
    results = {
        'pretrain-siammae-0': dict(steps=100),
        'early-siammae-0': early(0.5, [0.25, 0.125], 1.0),
        'early-siammae-0-epoch2': early(0.25, [0.0625, 0.125], 0.75),
        'early-random-siammae-0': early(0.125, [0.0625], 0.5),
        'pretrain-mae-0': dict(steps=100),
        'early-random-mae-0': early(0.0625, None, 0.5),
        'pretrain-siammae-1': dict(part_steps=[30, 60], steps=60),
        'early-siammae-1': early(0.5, [0.5], 1.0),
        'early-siammae-1-part1': early(0.75, [0.5], 1.0),
        'early-siammae-2-epoch1': early(0.625, [0.5], 1.0),  # its pre-training was stopped: steps are those of seed 0
        'early-siammae-2-part1': early(0.875, [0.5], 1.0),  # not shown: its steps are not known
    }
    for name, result in results.items():
        content = dict(result=result, arguments=dict(epochs=4))
        (tmp_path / f'results/{name}.json').write_text(json.dumps(content))
    found = report.Results(tmp_path, [*results, 'early-mae-0'])
    lines = [
        {tuple(map(tuple, line.get_xydata().tolist())) for line in axes.lines if line.get_marker() == 'o'}
        for axes in report.plot_correspondence(found, [0, 1, 2]).axes
    ]
    assert lines[0] == {((0, 6.25),), ((0, 12.5), (50, 25), (100, 50)), ((30, 75), (60, 50)), ((25, 62.5),)}
    assert lines[1] == {((0, 6.25), (50, 12.5), (100, 25)), ((30, 50), (60, 50)), ((25, 50),)}
    assert lines[2] == {((0, 0),), ((0, 0), (50, 0.25), (100, 0.5)), ((30, 0.5), (60, 0.5)), ((25, 0.5),)}


def test_larger_models_fit_each_other(measures, tmp_path):
    """Encoders of ``--size larger`` load into its tracker and its DropSeg, and take the crops of its pipelines."""
    import compare_methods

    changes = compare_methods.LARGER
    init_default_scope('mmpretrain')
    for method in compare_methods.METHODS:
        config = measures.run_config(str(tmp_path), method, changes['pretrain'], 2, 0)
        loaders = filter(None, (config.val_dataloader, config.train_dataloader))
        assert {step.size for loader in loaders for step in loader.dataset.pipeline if 'size' in step} == {224}
        model = MODELS.build(config.model).eval()
        assert model.backbone.patch_resolution == (14, 14)
        if isinstance(model, PairMAE):
            assert measures.future_error(model, torch.randn(1, 2, 3, 224, 224), seed=0).isfinite()
        if method == 'siammae':
            weights = model.backbone.state_dict()
    for kind, config in {
        'track': measures.tracker_config('', '', 10),
        'segment': measures.segmentation_config('dropseg', '', [], [], 10),
    }.items():
        config.merge_from_dict(changes[kind])
        backbone = MODELS.build(config.model).backbone.state_dict()
        blocks = [name for name in weights if name.startswith('layers.')]
        assert len(blocks) == 12 * 12
        assert all(backbone[name].shape == weights[name].shape for name in [*blocks, 'patch_embed.projection.weight'])


def prepared(video_dir: Path, out: Path) -> Path:
    """The folder of a comparison whose clips are prepared: each is listed six times, enough for one step an epoch."""
    shutil.copytree(video_dir, out / 'clips')
    names = sorted(path.name for path in video_dir.iterdir())
    (out / 'clips.txt').write_text(''.join(f'{name}\n' for name in names * 6))
    return out


def test_measures_of_existing_checkpoints_come_first(measures, tmp_path, monkeypatch):
    """So a pre-training that was stopped is measured before it goes on."""
    import compare_methods

    order = tmp_path / 'order.txt'

    def note(checkpoint):
        with order.open('a') as file:
            file.write(f'{Path(checkpoint).name}\n')

    def pretrain():
        for name in ('epoch_1.pth', 'epoch_2.pth'):
            (tmp_path / name).touch()
        note('pretrained')

    monkeypatch.setattr(compare_methods, 'JOBS', dict(pretrain=pretrain, early=note))
    (tmp_path / 'epoch_1.pth').touch()
    jobs = [compare_methods.Job('pretrain', 'pretrain', {}, '', 1)]
    for name in ('epoch_2', 'epoch_1'):
        arguments = dict(checkpoint=f'{tmp_path}/{name}.pth')
        jobs.append(compare_methods.Job(f'early-{name}', 'early', arguments, 'pretrain', 1))
    work = compare_methods.work.__wrapped__  # without the handler of SIGTERM
    assert work(jobs, tmp_path, processes=1, minutes=1) == []
    assert order.read_text().split() == ['epoch_1.pth', 'pretrained', 'epoch_2.pth']


@pytest.mark.slow
@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_saves(video_dir, tmp_path, number):
    """The signal goes to the first process, as from ``kill``, or to all, as from Ctrl-C in a terminal."""
    out = prepared(video_dir, tmp_path / 'out')
    command = [sys.executable, ROOT / 'tools/experiments/compare_methods.py', video_dir, out, '--methods', 'mae']
    command += ['--epochs', '200', '--saves', '1', '--ablation-epochs', '0', '--jobs', '1']
    log = out / 'logs/pretrain-mae-0.log'
    with subprocess.Popen(command, cwd=tmp_path, text=True, stderr=subprocess.PIPE, start_new_session=True) as process:
        while not (log.exists() and 'Epoch(train)' in log.read_text()):
            assert process.poll() is None
            time.sleep(0.1)
        kill = os.killpg if number == signal.SIGINT else os.kill
        kill(process.pid, number)
        message = process.communicate()[1]
    assert process.returncode == 130
    assert 'The same command continues' in message
    run = out / 'runs/mae-0'
    assert (run / 'last_checkpoint').read_text() == 'preempted.pth'
    saved = torch.load(run / 'preempted.pth', weights_only=True)
    assert 0 < saved['meta']['iter'] < 200


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_whole_comparison(video_dir, davis, sequences, tmp_path, start_tool):
    """Two steps of one method; then again, when only what is missing is done, and with other settings."""
    out = prepared(video_dir, tmp_path / 'out')
    command = [sys.executable, ROOT / 'tools/experiments/compare_methods.py', video_dir, out]
    command += ['--davis', davis, '--davis-train', 'a', 'b', '--davis-test', 'c', '--methods', 'dropmae']
    command += ['--sot-train', sequences, '--sot-test', sequences, '--frames', 3, '--short-sides', 64, '--pairs', 4]
    command += ['--epochs', 2, '--ablation-epochs', 0, '--jobs', 1]
    code, output = start_tool(*command, '--iters', 2, '--minutes', 0)()
    assert code == 0, output
    assert 'jobs are left' in output
    assert '| DropMAE | - |' in (out / 'report/table.md').read_text()
    code, output = start_tool(*command, '--iters', 2)()
    assert code == 0, output
    assert 'jobs are left' not in output

    results = json.loads((out / 'report/results.json').read_text())
    assert results['settings']['seeds'] == [0]
    results = {name: entry['result'] for name, entry in results['results'].items()}
    assert results['pretrain-dropmae-0']['steps'] == 2
    assert results['early-random-dropmae-0']['loss'].keys() == {'true', 'foreign', 'identical', 'moved', 'missing'}
    assert results['early-dropmae-0']['attention_other']
    for name in ('frozen64-dropmae-0', 'frozen64-random-dropmae-0'):
        assert results[name].keys() == {'dino', 'dino-no-window', 'cropmae'}
        assert all(0 <= scores['J&F-Mean'] <= 100 for scores in results[name].values())
    assert 0 <= results['track-random-0']['pairs/iou'] <= 100
    assert results['track-random-0']['pairs/iou'] != results['track-dropmae-0']['pairs/iou']
    table = (out / 'report/table.md').read_text()
    assert f'{results["track-random-0"]["sot/success"]:.1f}' in table
    assert f'{results["segment-dropmae-0"]["vos/J&F-Mean"]:.1f}' in table
    for name in ('loss', 'frozen', 'attention', 'past', 'correspondence'):
        assert (out / f'report/{name}.png').read_bytes().startswith(b'\x89PNG')

    other = ['siammae' if part == 'dropmae' else part for part in command]
    code, output = start_tool(*other, '--iters', 2, '--minutes', 0, '--report', tmp_path / 'other')()
    assert code == 0, output
    assert 'jobs are left' in output
    assert (tmp_path / 'other/table.md').read_text().splitlines()[4:] == table.splitlines()[4:], 'a method at a time'

    times = {path.name: path.stat().st_mtime_ns for path in (out / 'results').iterdir()}
    (out / 'results/early-dropmae-0.json').unlink()
    code, output = start_tool(*command, '--iters', 2)()
    assert code == 0, output
    assert '1 to do' in output
    again = {path.name: path.stat().st_mtime_ns for path in (out / 'results').iterdir()}
    assert {name for name in again if again[name] != times[name]} == {'early-dropmae-0.json'}
    repeated = json.loads((out / 'results/early-dropmae-0.json').read_text())['result']
    assert repeated == results['early-dropmae-0'], 'measures follow from their seeds'

    code, output = start_tool(*command, '--iters', 3)()
    assert code == 1
    assert 'has other iters' in output
