"""A small DropSeg through tools/train.py, tools/test.py and tools/segment.py."""

import json
import os
import re
import shutil
import signal
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from PIL import Image
from safetensors.torch import save_file
from tiny_runs import dump_config, read_trace

from mmvidmae.apis import VideoSegmentationInferencer
from mmvidmae.datasets import VideoFileReader, vos_pairs
from mmvidmae.datasets.readers import read_image
from mmvidmae.structures.label_maps import read_label_map

ROOT = Path(__file__).resolve().parents[2]


def dropseg_config(davis: Path, folder: Path, **changes) -> Path:
    """The small DropSeg with an encoder of two layers and 4 iterations."""
    cfg = Config.fromfile(ROOT / 'configs/small/dropseg_vit-tiny6-p8-128_1xb8-400i_davis2017.py')
    cfg.model.backbone.update(arch=dict(embed_dims=32, num_layers=2, num_heads=2, feedforward_channels=64), img_size=32)
    cfg.model.neck.channels = cfg.model.decode_head.channels = (16, 8)
    cfg.train_dataloader.update(num_workers=0, persistent_workers=False, batch_size=2)
    cfg.train_dataloader.dataset.videos.update(data_root=str(davis), split='val')
    cfg.train_dataloader.dataset.pipeline[0].size = 32
    cfg.test_dataloader.update(num_workers=0)
    cfg.test_dataloader.dataset.update(data_root=str(davis))
    cfg.test_dataloader.dataset.pipeline[0].short_side = 48
    cfg.train_cfg.max_iters = 4
    cfg.param_scheduler = dict(type='MultiStepLR', milestones=[2], gamma=0.1, by_epoch=False)
    cfg.default_hooks.checkpoint.update(interval=2, max_keep_ckpts=-1)
    cfg.default_hooks.logger.interval = 1
    cfg.custom_hooks.append(dict(type='TraceHook'))
    cfg.custom_imports = dict(imports=['tiny_runs'])
    cfg.work_dir = str(folder / 'work')
    cfg.test_evaluator.out_dir = str(folder / 'masks')
    return dump_config(cfg, folder, changes)


@pytest.fixture(scope='module')
def trained(davis, tmp_path_factory) -> tuple[Path, Path]:
    """Config and checkpoint of a model after four iterations."""
    from mmengine.runner import Runner

    path = dropseg_config(davis, tmp_path_factory.mktemp('trained'))
    Runner.from_cfg(Config.fromfile(path)).train()
    return path, path.parent / 'work/iter_4.pth'


def test_training_logs_and_goes_on(davis, trained, tmp_path, call_tool):
    (log,) = trained[1].parent.glob('*/vis_data/scalars.json')
    rows = [row for row in map(json.loads, log.read_text().splitlines()) if 'loss' in row]
    assert len(rows) == 4
    assert all(np.isfinite(row['loss']) and 0 <= row['iou'] <= 1 for row in rows)


@pytest.mark.parametrize('workers', [0, 1])
def test_a_stopped_training_goes_on(davis, trained, tmp_path, call_tool, monkeypatch, workers):
    """As if it had not stopped, and without loading again what it has seen."""
    path = dropseg_config(davis, tmp_path, **{'train_cfg.max_iters': 2})
    call_tool('train.py', path)
    read = []
    monkeypatch.setattr(vos_pairs, 'read_image', lambda *path: read.append(path) or read_image(*path))
    loader = {'train_dataloader.num_workers': workers, 'train_dataloader.persistent_workers': workers > 0}
    path = dropseg_config(davis, tmp_path, **loader)
    call_tool('train.py', path, '--resume')
    state = torch.load(tmp_path / 'work/iter_4.pth', weights_only=True)
    assert state['meta']['iter'] == 4
    whole = read_trace(trained[1].parent)
    assert len({loss for loss, _ in whole.values()}) == len(whole) == 4
    assert read_trace(tmp_path / 'work') == whole
    if not workers:
        assert len(read) == 2 * 2 * 2, 'two iterations of two pairs'


@pytest.mark.slow
def test_two_processes_give_the_masks_of_one(davis, trained, tmp_path, call_tool, start_tool):
    one, two = (dropseg_config(davis, tmp_path / name) for name in ('one', 'two'))
    launch = [sys.executable, '-m', 'torch.distributed.run', '--nproc_per_node=2', '--rdzv-backend=c10d']
    test = [ROOT / 'tools/test.py', two, trained[1], '--launcher', 'pytorch', '--out', two.with_suffix('.json')]
    wait = start_tool(*launch, '--rdzv-endpoint=127.0.0.1:0', *test)
    call_tool('test.py', one, trained[1], '--out', one.with_suffix('.json'))
    code, output = wait()
    assert code == 0, output
    scores = [json.loads(path.with_suffix('.json').read_text()) for path in (one, two)]
    assert scores[0] == scores[1]
    assert 0 <= scores[0]['vos/J&F-Mean'] <= 100
    for name in 'abc':
        assert len(list((tmp_path / 'one/work').glob(f'*/vis_data/vis_image/propagation_{name}_0.png'))) == 1
        for path in (tmp_path / f'one/masks/{name}').iterdir():
            assert np.array_equal(read_label_map(path), read_label_map(tmp_path / f'two/masks/{name}' / path.name))


def test_segmenting_a_folder(davis, trained, tmp_path, call_tool, capsys):
    frames, mask = davis / 'JPEGImages/480p/c', davis / 'Annotations/480p/c/00000.png'
    late = np.zeros((64, 96), np.uint8)
    late[50:, :10] = 6
    Image.fromarray(late).save(tmp_path / 'late.png')
    call_tool(
        *('segment.py', *trained, frames, mask, '--later', 2, tmp_path / 'late.png', '--device', 'cpu'),
        *('--out-dir', tmp_path / 'out'),
    )
    masks = [read_label_map(path) for path in sorted((tmp_path / 'out/preds/c').iterdir())]
    assert len(masks) == len(VideoFileReader(str(tmp_path / 'out/vis/c.mp4'))) == 5
    assert np.array_equal(masks[0], read_label_map(mask))
    assert (masks[2][late == 6] == 6).all()
    assert not any((ids == 6).any() for ids in masks[:2])
    Image.fromarray(np.zeros((64, 96, 3), np.uint8)).save(tmp_path / 'color.png')
    Image.fromarray(np.zeros((64, 96), np.uint8)).save(tmp_path / 'empty.png')
    Image.fromarray(np.ones((32, 96), np.uint8)).save(tmp_path / 'small.png')
    for name, message in (
        ('color.png', 'is no label map: it is an image of mode RGB'),
        ('empty.png', 'no object is given in'),
        ('small.png', 'the mask of frame 0 has 32 x 96 pixels, but the frame 64 x 96'),
        ('missing.png', 'cannot be read as a mask'),
    ):
        with pytest.raises(SystemExit):
            call_tool('segment.py', *trained, frames, tmp_path / name, '--out-dir', tmp_path / 'x', '--device', 'cpu')
        assert message in capsys.readouterr().err
    for later, message in (
        (5, 'a mask is given for frame 5, but the video has 5 frames'),
        (-1, 'a mask is given for frame -1, but the video has 5 frames'),
        ('x', '--later x: not the number of a frame'),
    ):
        with pytest.raises(SystemExit):
            call_tool(
                *('segment.py', *trained, frames, mask, '--later', later, tmp_path / 'late.png'),
                *('--out-dir', tmp_path / 'x', '--device', 'cpu'),
            )
        assert message in capsys.readouterr().err
    assert not (tmp_path / 'x').exists(), 'all of this is found before the work'


def test_masks_of_0_and_255(davis, trained, tmp_path, call_tool, capsys):
    frames = davis / 'JPEGImages/480p/c'
    ids = read_label_map(davis / 'Annotations/480p/c/00000.png')
    Image.fromarray(255 * ids).save(tmp_path / 'white.png')
    arguments = ('segment.py', *trained, frames, tmp_path / 'white.png', '--device', 'cpu', '--out-dir', tmp_path / 'x')
    with pytest.raises(SystemExit):
        call_tool(*arguments)
    assert '--merge-objects' in capsys.readouterr().err
    call_tool(*arguments, '--merge-objects')
    assert np.array_equal(read_label_map(tmp_path / 'x/preds/c/00000.png'), ids)


def test_ctrl_c_finishes_the_files(davis, trained, tmp_path, call_tool, capsys, monkeypatch):
    forward = VideoSegmentationInferencer.forward

    def interrupted(self, inputs):
        for number, result in enumerate(forward(self, inputs)):
            if number == 1:
                os.kill(os.getpid(), signal.SIGINT)
            yield result

    monkeypatch.setattr(VideoSegmentationInferencer, 'forward', interrupted)
    frames, mask = davis / 'JPEGImages/480p/c', davis / 'Annotations/480p/c/00000.png'
    outputs = ('--out-dir', tmp_path / 'out', '--vis-format', '.ogv')
    with pytest.raises(SystemExit) as caught:
        call_tool('segment.py', *trained, frames, mask, *outputs, '--device', 'cpu')
    assert caught.value.code == 130
    assert f'interrupted after 2 frames: {tmp_path / "out"}\n' in capsys.readouterr().out
    made = tmp_path / 'out'
    assert len(list((made / 'preds/c').iterdir())) == len(VideoFileReader(str(made / 'vis/c.ogv'))) == 2


def test_frames_as_they_come(davis, trained):
    """A generator is not read ahead, and frames that are reduced give masks of their own size."""
    read = []

    def frames():
        for number in range(4):
            read.append(number)
            yield np.full((64, 96, 3), 40 * number, np.uint8)

    mask = np.zeros((64, 96), np.uint8)
    mask[16:40, 8:32] = 1
    segmenter = VideoSegmentationInferencer(*map(str, trained), device='cpu', show_progress=False)
    for number, sample in enumerate(segmenter.stream(frames(), masks=mask, short_side=32)):
        assert read == list(range(number + 1))
        assert sample.pred_mask.shape == sample.frame.shape[:2] == (64, 96)


def test_a_damaged_frame_is_named(davis, trained, tmp_path, call_tool):
    shutil.copytree(davis, tmp_path / 'davis')
    (tmp_path / 'davis/JPEGImages/480p/b/00002.jpg').write_bytes(b'broken')
    with pytest.raises(Exception, match=r'00002\.jpg'):
        call_tool('test.py', dropseg_config(tmp_path / 'davis', tmp_path / 'run'), trained[1])


@pytest.mark.parametrize(
    ('part', 'message'),
    [
        (r'backbone\.', r'missing .*decode_head\.'),
        (r'(backbone\.(?!mask_embed)|neck|decode_head)', r'missing 2 parameters \(backbone\.mask_embed\.bias, '),
        (r'(?!decode_head\.pred\.bias)', r'missing 1 parameters \(decode_head\.pred\.bias\)'),
    ],
    ids=['encoder alone', 'no mask embedding', 'one tensor less'],
)
def test_incomplete_weights_give_no_masks_and_no_scores(davis, trained, tmp_path, call_tool, capsys, part, message):
    state = torch.load(trained[1], weights_only=True)['state_dict']
    save_file({name: value for name, value in state.items() if re.match(part, name)}, tmp_path / 'part.safetensors')
    path = dropseg_config(davis, tmp_path / 'run')
    with pytest.raises(ValueError, match=rf'part\.safetensors does not fit DropSeg: {message}'):
        call_tool('test.py', path, tmp_path / 'part.safetensors')
    frames, mask = davis / 'JPEGImages/480p/c', davis / 'Annotations/480p/c/00000.png'
    with pytest.raises(SystemExit):
        call_tool('segment.py', path, tmp_path / 'part.safetensors', frames, mask, '--out-dir', tmp_path / 'masks')
    assert re.search(message, capsys.readouterr().err)
    assert not (tmp_path / 'masks').exists()


def test_whole_weights_in_safetensors_give_the_scores_of_the_checkpoint(davis, trained, tmp_path, call_tool):
    state = torch.load(trained[1], weights_only=True)['state_dict']
    save_file({f'module.{name}': value for name, value in state.items()}, tmp_path / 'whole.safetensors')
    scores = []
    for name, checkpoint in (('one', trained[1]), ('two', tmp_path / 'whole.safetensors')):
        path = dropseg_config(davis, tmp_path / name)
        call_tool('test.py', path, checkpoint, '--out', tmp_path / f'{name}.json')
        scores.append(json.loads((tmp_path / f'{name}.json').read_text()))
        assert scores[-1].pop('weights')['checkpoint'] == str(checkpoint)
    assert scores[0] == scores[1]
