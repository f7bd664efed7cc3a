"""Lists of LaSOT, OTB100 and UAV123, and sequences from masks, as mmtrack's and our data sets then read them."""

import re
import shutil
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from mmvidmae.registry import DATASETS

pytest.importorskip('mmdet')
import mmvidmae.compat.mmtrack.enabled  # noqa: F401

# isort: split
from mmtrack.datasets import LaSOTDataset, OTB100Dataset, UAV123Dataset

TOOLS = Path(__file__).parents[2] / 'tools/dataset_converters'


@pytest.fixture
def tool(monkeypatch):
    """A function ``tool(name, *arguments)`` that runs a tool's main."""
    import importlib

    def run(name: str, *arguments) -> int | None:
        monkeypatch.syspath_prepend(str(TOOLS))
        module = importlib.import_module(name)
        monkeypatch.setattr(sys, 'argv', [name, *map(str, arguments)])
        return module.main()

    return run


def images(folder: Path, numbers, digits: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number in numbers:
        Image.new('RGB', (8, 6)).save(folder / f'{number:0{digits}d}.jpg')


def boxes(path: Path, number: int, first: int = 1) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(''.join(f'{first + i},1,3,2\n' for i in range(number)))


def test_lasot(tool, tmp_path, capsys):
    root = tmp_path / 'LaSOT_full'
    for name, number in (('bear-2', 3), ('bear-10', 2), ('racing-1', 4)):
        folder = root / 'LaSOTBenchmark' / name.split('-')[0] / name
        images(folder / 'img', range(1, number + 1), 8)
        boxes(folder / 'groundtruth.txt', number)
        for flag in ('full_occlusion', 'out_of_view'):
            (folder / f'{flag}.txt').write_text(','.join('0' * number))
    (root / 'testing_set.txt').write_text('bear-10\n')
    assert tool('tracking_lists', 'lasot', root) == 0
    for split, lengths in (('train', [3, 4]), ('test', [2])):
        data = LaSOTDataset(
            ann_file=str(root / f'annotations/lasot_{split}_infos.txt'),
            data_prefix=dict(img_path=str(root / 'LaSOTBenchmark')),
            pipeline=[],
            test_mode=split == 'test',
        )
        for index, length in enumerate(lengths):
            paths = data.get_img_infos_from_video(index)['img_paths']
            assert [Path(path).is_file() for path in paths] == [True] * length
            assert len(data.get_bboxes_from_video(index)) == length
        assert data.num_videos == len(lengths)
    (root / 'testing_set.txt').write_text('bear-10\nbear-11\n')
    with pytest.raises(SystemExit):
        tool('tracking_lists', 'lasot', root)
    assert 'bear-11: 1 not in' in capsys.readouterr().err


def test_otb100(tool, tmp_path):
    root = tmp_path / 'OTB100'
    for video, numbers, gt in (
        ('Basketball', range(1, 4), {'groundtruth_rect.txt': 3}),
        ('Board', range(1, 3), {'groundtruth_rect.txt': 2}),
        ('BlurCar1', range(247, 250), {'groundtruth_rect.txt': 3}),
        ('David', range(1, 303), {'groundtruth_rect.txt': 3}),
        ('Human4', range(1, 3), {'groundtruth_rect.1.txt': 0, 'groundtruth_rect.2.txt': 2}),
        ('Jogging', range(1, 4), {'groundtruth_rect.1.txt': 3, 'groundtruth_rect.2.txt': 3}),
        ('Tiger1', range(1, 10), {'groundtruth_rect.txt': 9}),
    ):
        images(root / 'data' / video / 'img', numbers, 5 if video == 'Board' else 4)
        for name, number in gt.items():
            boxes(root / 'data' / video / name, number)
    assert tool('tracking_lists', 'otb100', root) == 0
    data = OTB100Dataset(
        ann_file=str(root / 'annotations/otb100_infos.txt'),
        data_prefix=dict(img_path=str(root)),
        pipeline=[],
        test_mode=True,
    )
    first = {}
    for index in range(data.num_videos):
        infos = data.get_img_infos_from_video(index)
        assert len(infos['img_paths']) == len(data.get_bboxes_from_video(index))
        assert all(Path(path).is_file() for path in infos['img_paths'])
        first.setdefault(Path(infos['img_paths'][0]).parts[-3], []).append(Path(infos['img_paths'][0]).stem)
    assert first == dict(
        Basketball=['0001'],
        Board=['00001'],
        BlurCar1=['0247'],
        David=['0300'],
        Human4=['0001'],
        Jogging=['0001', '0001'],
        Tiger1=['0006'],
    )


def test_uav123(tool, tmp_path, capsys):
    root = tmp_path / 'UAV123'
    images(root / 'data_seq/UAV123/bird1', range(1, 11), 6)
    boxes(root / 'anno/UAV123/bird1_1.txt', 3)
    boxes(root / 'anno/UAV123/bird1_2.txt', 4)
    entry = (
        "struct('name','{}','path','F:\\data_seq\\UAV123\\bird1\\','startFrame',{},'endFrame',{},'nz',6,'ext','jpg')"
    )
    text = 'seqUAV20L={' + entry.format('long', 1, 9) + '};\nseqUAV123={' + entry.format('bird1_1', 1, 3) + ',...\n'
    (root / 'configSeqs.m').write_text(text + entry.format('bird1_2', 7, 10) + '};\n')
    assert tool('tracking_lists', 'uav123', root) == 0
    data = UAV123Dataset(
        ann_file=str(root / 'annotations/uav123_infos.txt'),
        data_prefix=dict(img_path=str(root)),
        pipeline=[],
        test_mode=True,
    )
    paths = [data.get_img_infos_from_video(index)['img_paths'] for index in range(data.num_videos)]
    assert [(Path(p[0]).stem, len(p)) for p in paths] == [('000001', 3), ('000007', 4)]
    boxes(root / 'anno/UAV123/bird1_2.txt', 5)
    with pytest.raises(SystemExit):
        tool('tracking_lists', 'uav123', root)
    assert 'bird1_2.txt: 5 boxes, but' in capsys.readouterr().err


def test_sequences_from_masks(tool, davis, tmp_path):
    tool('masks_to_sequences', 'davis', davis, tmp_path)
    data = DATASETS.build(dict(type='mmvidmae.SequenceFolderDataset', data_root=str(tmp_path), pipeline=[]))
    assert [data.get_data_info(index)['name'] for index in range(3)] == ['a_1', 'b_1', 'c_1']
    assert data.get_bboxes_from_video(1).tolist() == [[8 + 8 * index, 16, 24, 24] for index in range(4)]
    image = np.asarray(Image.open(data.get_img_infos_from_video(1)['img_paths'][2]))
    assert image[16:40, 24:48].mean() > 120 > 60 > image[:, :20].mean()


def test_masks_that_cannot_be_used_are_lines_of_the_report(tool, davis, tmp_path, capsys):
    root = tmp_path / 'davis'
    shutil.copytree(davis, root)
    for name in 'def':
        for kind in ('JPEGImages', 'Annotations'):
            shutil.copytree(root / kind / '480p/c', root / kind / '480p' / name)
    masks = root / 'Annotations/480p'
    (masks / 'b/00002.png').write_bytes((masks / 'b/00002.png').read_bytes()[:50])
    for name, change in (
        ('c', lambda mask: cv2.GaussianBlur(255 * mask, (5, 5), 2)),
        ('d', lambda mask: 255 * mask),
        ('e', lambda mask: cv2.imdecode(cv2.imencode('.jpg', np.roll(255 * mask, 3, 1))[1], cv2.IMREAD_GRAYSCALE)),
    ):
        for path in (masks / name).iterdir():
            Image.fromarray(change(np.asarray(Image.open(path)))).save(path)
    (masks / 'f/00004.png').unlink()
    assert tool('masks_to_sequences', 'davis', root, tmp_path / 'out') == 1
    out = capsys.readouterr().out
    for line in (
        r'480p/b: .*b/00002\.png cannot be read as a mask: no readable image',
        r'480p/c: .*c/00000\.png holds shades and not ids',
        r'480p/d: no object is given in .*d/00000\.png: .* holds 255, which is void.*--merge-objects',
        r'480p/e: .*e/00000\.png holds shades and not ids',
        r'480p/f: 4 masks in .*, but 5 frames in',
        r'1 of 6 clips are in .*, 5 failed',
    ):
        assert re.search(line, out), line
    assert [path.name for path in (tmp_path / 'out').iterdir()] == ['a_1']
    assert tool('masks_to_sequences', 'davis', root, tmp_path / 'merged', '--merge-objects') == 1
    assert {path.name for path in (tmp_path / 'merged').iterdir()} == {'a_1', 'd_1'}
    boxes = [(tmp_path / 'merged' / name / 'groundtruth_rect.txt').read_text() for name in ('a_1', 'd_1')]
    assert boxes[1].startswith(boxes[0])


def test_jhmdb_clips_that_cannot_be_read(tool, tmp_path, capsys, write_video):
    masks = tmp_path / 'jhmdb/puppet_mask/clap'
    for name in ('good', 'no_video', 'no_text', 'no_mat'):
        (masks / name).mkdir(parents=True)
        savemat(masks / name / f'{name}.mat', dict(part_mask=np.ones((48, 64, 5), np.uint8)))
        write_video(tmp_path / f'videos/{name}/{name}.avi', 6)
    (masks / 'no_mat/no_mat.mat').write_bytes(b'x' * 200)
    (tmp_path / 'videos/no_video/no_video.avi').unlink()
    (tmp_path / 'videos/no_text/no_text.avi').write_text('not a video')
    out = tmp_path / 'out'
    assert tool('masks_to_sequences', 'jhmdb', tmp_path / 'jhmdb', out, '--videos', tmp_path / 'videos') == 1
    said = capsys.readouterr().out
    assert 'no_mat.mat: ' in said
    assert 'not a readable file of part_mask' in said
    assert 'no_video.mat: ' in said
    assert 'No such file' in said
    assert '1 of 4 clips are in' in said
    assert (out / 'good/groundtruth_rect.txt').read_text() == '0,0,64,48\n' * 5


def test_images_whose_names_are_no_numbers(tool, tmp_path, capsys):
    root = tmp_path / 'OTB100'
    images(root / 'data/Board/img', [1, 2], 5)
    boxes(root / 'data/Board/groundtruth_rect.txt', 2)
    (root / 'data/Board/img/cover.jpg').write_bytes(b'')
    with pytest.raises(SystemExit):
        tool('tracking_lists', 'otb100', root)
    assert 'cover.jpg: the name is no number of a frame' in capsys.readouterr().err
