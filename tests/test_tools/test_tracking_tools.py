"""A small tracker through tools/train.py and tools/test.py: training, resuming, one process and two, result files."""

import json
import os
import shutil
import signal
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from tiny_runs import dump_config, read_trace

from mmvidmae.apis import TrackingInferencer, get_model
from mmvidmae.datasets import VideoFileReader

pytest.importorskip('mmdet')
ROOT = Path(__file__).resolve().parents[2]


def tracking_config(sequences: Path, folder: Path, **changes) -> Path:
    """The small DropTrack with an encoder of two layers and 6 iterations an epoch."""
    cfg = Config.fromfile(ROOT / 'configs/small/droptrack_vit-tiny6-p8-96_1xb16-1e_sequences.py')
    arch = dict(embed_dims=32, num_layers=2, num_heads=2, feedforward_channels=64)
    cfg.model.update(template_size=32, search_size=64)
    cfg.model.backbone.update(arch=arch, ce_loc=(1,), ce_keep_ratio=(0.7,))
    cfg.model.head.channels = 16
    cfg.train_dataloader.update(num_workers=0, persistent_workers=False, batch_size=2)
    cfg.train_dataloader.sampler.samples_per_epoch = 12
    cfg.train_dataloader.dataset.pipeline[3].sizes = (32, 64)
    cfg.test_dataloader.update(num_workers=0, persistent_workers=False)
    for loader in (cfg.train_dataloader, cfg.test_dataloader):
        loader.dataset.data_root = str(sequences)
    cfg.train_cfg.max_epochs = 2
    cfg.param_scheduler = dict(type='MultiStepLR', milestones=[1], gamma=0.1)
    cfg.custom_hooks = [
        dict(type='mmvidmae.StepSeedHook'),
        dict(type='mmvidmae.CandidateEliminationHook', start=0, warmup=1),
        dict(type='TraceHook'),
    ]
    cfg.custom_imports = dict(imports=['tiny_runs'])
    cfg.model.backbone.drop_path_rate = 0.1
    cfg.default_hooks.checkpoint.interval = 1
    cfg.default_hooks.logger.interval = 1
    cfg.work_dir = str(folder / 'work')
    cfg.test_evaluator.out_dir = str(folder / 'boxes')
    return dump_config(cfg, folder, changes)


@pytest.fixture(scope='module')
def checkpoint(sequences, tmp_path_factory) -> Path:
    """A tracker after two epochs."""
    import runpy

    folder = tmp_path_factory.mktemp('trained')
    argv, sys.argv = sys.argv, ['train.py', str(tracking_config(sequences, folder))]
    try:
        runpy.run_path(str(ROOT / 'tools/train.py'), run_name='__main__')
    finally:
        sys.argv = argv
    return folder / 'work/epoch_2.pth'


def scalars(work_dir: Path) -> list[dict]:
    (path,) = work_dir.glob('*/vis_data/scalars.json')
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_training_logs_its_losses_and_stops_at_the_rate(checkpoint):
    rows = [row for row in scalars(checkpoint.parent) if 'loss' in row]
    assert len(rows) == 12
    assert all(np.isfinite([row['loss'], row['loss_giou'], row['loss_l1'], row['loss_focal']]).all() for row in rows)
    assert rows[6]['lr'] == pytest.approx(rows[5]['lr'] / 10)


def test_a_stopped_training_goes_on(sequences, checkpoint, tmp_path, call_tool):
    """As if it had not stopped, and with a worker that the other run did not have."""
    path = tracking_config(sequences, tmp_path, **{'train_cfg.max_epochs': 1})
    call_tool('train.py', path)
    assert not (tmp_path / 'work/epoch_2.pth').exists()
    path = tracking_config(sequences, tmp_path, **{'train_dataloader.num_workers': 1})
    call_tool('train.py', path, '--resume')
    whole = read_trace(checkpoint.parent)
    assert len({loss for loss, _ in whole.values()}) == len(whole) == 12
    assert read_trace(tmp_path / 'work') == whole
    states = [torch.load(file, weights_only=True) for file in (tmp_path / 'work/epoch_2.pth', checkpoint)]
    assert states[0]['meta']['iter'] == states[1]['meta']['iter'] == 12
    assert states[0]['state_dict'].keys() == states[1]['state_dict'].keys()


@pytest.mark.slow
def test_two_processes_give_the_boxes_of_one(sequences, checkpoint, tmp_path, call_tool, start_tool):
    one, two = (tracking_config(sequences, tmp_path / name) for name in ('one', 'two'))
    launch = [sys.executable, '-m', 'torch.distributed.run', '--nproc_per_node=2', '--rdzv-backend=c10d']
    test = [ROOT / 'tools/test.py', two, checkpoint, '--launcher', 'pytorch', '--out', two.with_suffix('.json')]
    wait = start_tool(*launch, '--rdzv-endpoint=127.0.0.1:0', *test)
    call_tool('test.py', one, checkpoint, '--out', one.with_suffix('.json'))
    code, output = wait()
    assert code == 0, output
    scores = [json.loads(path.with_suffix('.json').read_text()) for path in (one, two)]
    assert scores[0] == scores[1]
    assert scores[0].pop('weights')['checkpoint'] == str(checkpoint)
    assert scores[0].keys() == {f'sot/{name}' for name in ('success', 'norm_precision', 'precision', 'OP50', 'OP75')}
    for index, name in enumerate('abc'):
        boxes = [np.loadtxt(tmp_path / run / f'boxes/{name}.txt', delimiter=',') for run in ('one', 'two')]
        assert boxes[0].shape == (22 + 2 * index, 4)
        assert np.array_equal(*boxes)
        assert boxes[0][0].tolist() == [8 + 4 * index, 6, 16, 16]


def test_tracking_a_folder(sequences, checkpoint, tmp_path, call_tool, capsys):
    config = tracking_config(sequences, tmp_path)
    outputs = ('--device', 'cpu', '--out-dir', tmp_path / 'out')
    call_tool('track.py', config, checkpoint, sequences / 'a/img', '--box', 8, 6, 16, 16, *outputs)
    boxes = np.loadtxt(tmp_path / 'out/preds/img.txt', delimiter=',')
    told = json.loads((tmp_path / 'out/preds/img.json').read_text())
    assert boxes.shape == (22, 4)
    assert np.allclose(boxes, told['boxes_xywh'], atol=1e-3)
    assert told['scores'][0] == 1
    assert len(VideoFileReader(str(tmp_path / 'out/vis/img.mp4'))) == 22
    online = ('--online-template', '--device', 'cpu', '--no-save-vis', '--out-dir', tmp_path / 'online')
    call_tool('track.py', config, checkpoint, sequences / 'a/img', '--box', 8, 6, 16, 16, *online)
    other = np.loadtxt(tmp_path / 'online/preds/img.txt', delimiter=',')
    assert other.shape == boxes.shape
    assert not np.allclose(other, boxes, atol=1e-3)  # a second template
    for arguments, message in (
        (('--box', 8, 6, 0, 16), 'no positive, finite area'),
        (('--box', 900, 6, 16, 16), 'lies outside the frame of 96 x 72 pixels'),
        (('--box', 8, 6, 16, 16, '--vis-format', '.doc'), 'vis_format must be one of .3gp .avi'),
    ):
        with pytest.raises(SystemExit):
            call_tool('track.py', config, checkpoint, sequences / 'a/img', *arguments)
        assert message in capsys.readouterr().err
    assert not (tmp_path / 'outputs').exists()


def test_an_encoder_alone_does_not_track(sequences, checkpoint, tmp_path, call_tool, capsys):
    state = torch.load(checkpoint, weights_only=True)['state_dict']
    encoder = {name: value for name, value in state.items() if name.startswith('backbone.')}
    torch.save(dict(state_dict=encoder), tmp_path / 'encoder.pth')
    config = tracking_config(sequences, tmp_path)
    with pytest.raises(ValueError, match=r'encoder\.pth does not fit DropTrack: missing \d+ parameters \(head\.'):
        call_tool('test.py', config, tmp_path / 'encoder.pth')
    with pytest.raises(SystemExit):
        call_tool('track.py', config, tmp_path / 'encoder.pth', sequences / 'a/img', '--box', 8, 6, 16, 16)
    assert 'does not fit DropTrack: missing' in capsys.readouterr().err


def test_ctrl_c_finishes_the_files(sequences, checkpoint, tmp_path, call_tool, capsys, monkeypatch):
    forward = TrackingInferencer.forward

    def interrupted(self, frames, box):
        for number, tracked in enumerate(forward(self, frames, box)):
            if number == 3:
                os.kill(os.getpid(), signal.SIGINT)
            yield tracked

    monkeypatch.setattr(TrackingInferencer, 'forward', interrupted)
    out = tmp_path / 'out'
    arguments = ('--box', 8, 6, 16, 16, '--device', 'cpu', '--out-dir', out, '--vis-format', '.webm')
    with pytest.raises(SystemExit) as caught:
        call_tool('track.py', tracking_config(sequences, tmp_path), checkpoint, sequences / 'a/img', *arguments)
    assert caught.value.code == 130
    assert f'interrupted after 4 frames: {out}\n' in capsys.readouterr().out
    assert np.loadtxt(out / 'preds/img.txt', delimiter=',').shape == (4, 4)
    assert len(json.loads((out / 'preds/img.json').read_text())['scores']) == 4
    assert len(VideoFileReader(str(out / 'vis/img.webm'))) == 4


def test_a_first_box_alone_gives_files(sequences, checkpoint, tmp_path, call_tool):
    for name in ('x/1', 'y/1'):
        shutil.copytree(sequences / 'a/img', tmp_path / 'data' / name / 'images')
        (tmp_path / 'data' / name / 'groundtruth_rect.txt').write_text('8,6,16,16\n')
    (tmp_path / 'data/list.txt').write_text('x/1\ny/1\n')
    changes = dict(ann_file=str(tmp_path / 'data/list.txt'), frames='{name}/images')
    changes = {f'test_dataloader.dataset.{key}': value for key, value in changes.items()}
    call_tool('test.py', tracking_config(tmp_path / 'data', tmp_path, **changes), checkpoint)
    for name in ('x/1', 'y/1'):
        assert np.loadtxt(tmp_path / f'boxes/{name}.txt', delimiter=',').shape == (22, 4)


def test_vot_restarts_after_failures(sequences, checkpoint, tmp_path, call_tool):
    """The target of frame 8 is out of any box's reach: VOT's codes in the files, and its scores."""
    root = tmp_path / 'data'
    for name in 'ab':
        (root / name).mkdir(parents=True)
        shutil.copytree(sequences / name / 'img', root / name / 'color')
        for path in sorted((root / name / 'color').iterdir(), reverse=True):
            path.rename(path.with_name(f'{int(path.stem) + 1:08d}.jpg'))
        boxes = np.loadtxt(sequences / name / 'groundtruth_rect.txt', delimiter=',')
        boxes[8, :2] += 500
        x1, y1, x2, y2 = *boxes[:, :2].T, *(boxes[:, :2] + 16).T
        np.savetxt(root / name / 'groundtruth.txt', np.stack((x1, y1, x2, y1, x2, y2, x1, y2), 1), delimiter=',')
    lines = [f'{name}/color,{name}/groundtruth.txt,1,{length}' for name, length in (('a', 22), ('b', 24))]
    (root / 'infos.txt').write_text('\n'.join(['header', *lines]))
    path = tracking_config(sequences, tmp_path)
    cfg = Config.fromfile(path)
    dataset = dict(type='VOTDataset', ann_file='infos.txt', data_prefix=dict(img_path=''), data_root=str(root))
    cfg.test_dataloader.dataset = dict(dataset, test_mode=True, pipeline=cfg.test_dataloader.dataset.pipeline)
    cfg.test_evaluator = dict(type='mmvidmae.VOTMetric', out_dir=str(tmp_path / 'boxes'), eao_interval=(5, 20))
    cfg.model.test_cfg = dict(test_mode='VOT')
    cfg.dump(path)
    call_tool('test.py', path, checkpoint)
    scores = json.loads((tmp_path / 'boxes/vot_scores.json').read_text())['scores']
    assert scores.keys() == {'EAO', 'accuracy', 'robustness', 'failures'}
    files = [(tmp_path / f'boxes/{name}.txt').read_text().split() for name in 'ab']
    assert [len(lines) for lines in files] == [22, 24]
    assert sum(lines.count('2') for lines in files) == scores['failures'] > 0
    for lines in files:
        assert lines[0] == '1'
        for frame in (frame for frame, line in enumerate(lines) if line == '2'):
            assert lines[frame + 1 : frame + 6] == ['0', '0', '0', '0', '1'][: len(lines) - frame - 1]


def test_a_frame_that_is_lost_is_named(sequences, checkpoint, tmp_path, call_tool):
    shutil.copytree(sequences / 'a', tmp_path / 'data/a')
    (tmp_path / 'data/a/img/0004.jpg').write_bytes(b'broken')
    with pytest.raises(Exception, match=r'0004\.jpg'):
        call_tool('test.py', tracking_config(tmp_path / 'data', tmp_path / 'run'), checkpoint)


@pytest.mark.parametrize('matcher', ['propagation', 'correlation'])
def test_a_frozen_encoder_tracks(sequences, tmp_path, call_tool, capsys, matcher):
    config = Config.fromfile(ROOT / f'configs/frozen_tracking/vit-tiny6-p8_{matcher}_sequences.py')
    config.test_dataloader.update(num_workers=0, persistent_workers=False)
    config.test_dataloader.dataset.data_root = str(sequences)
    config.model.search_size = 48  # quick
    config.work_dir = str(tmp_path / 'work')
    config.dump(tmp_path / 'config.py')
    weights = ROOT / 'configs/small/weights/siammae_small-bb628bb5.safetensors'
    call_tool('test.py', tmp_path / 'config.py', weights, '--out', tmp_path / 'scores.json')
    scores = json.loads((tmp_path / 'scores.json').read_text())
    assert scores['weights']['checkpoint'] == str(weights)
    assert 0 < scores['sot/success'] <= 100
    boxes = np.loadtxt(next(tmp_path.rglob('b.txt')), delimiter=',')
    frames = sorted((sequences / 'b/img').iterdir())
    model = get_model(config, weights, 'cpu')
    target = model.initialize(cv2.imread(str(frames[0])), boxes[0])
    found = [target.box]
    for frame in frames[1:]:
        target, _ = model.track(cv2.imread(str(frame)), target)
        found.append(target.box)
    np.testing.assert_allclose(boxes, found, atol=2e-3)
    call_tool('track.py', tmp_path / 'config.py', weights, sequences / 'a/img', '--box', 8, 6, 16, 16,
              '--device', 'cpu', '--out-dir', tmp_path / 'out')  # fmt: skip
    assert len(np.loadtxt(tmp_path / 'out/preds/img.txt', delimiter=',')) == 22
    with pytest.raises(SystemExit):
        call_tool('track.py', tmp_path / 'config.py', weights, sequences / 'a/img', '--box', 8, 6, 16, 16,
                  '--online-template')  # fmt: skip
    assert 'FrozenTracker: test_cfg must be a dict of test_mode, margin' in capsys.readouterr().err
