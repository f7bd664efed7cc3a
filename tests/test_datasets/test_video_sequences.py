"""Labeled videos: official layouts, what is given, what is checked, sizes."""

import json
import struct
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.dataset import pseudo_collate
from PIL import Image
from scipy.io import savemat

from mmvidmae.datasets import (
    DAVISDataset,
    JHMDBDataset,
    LoadVideoFrames,
    PackVideoSequence,
    VideoReadError,
    VIPDataset,
    YouTubeVOSDataset,
)
from mmvidmae.registry import DATASETS
from mmvidmae.structures.label_maps import write_label_map

PIPELINE = [dict(type='mmvidmae.LoadVideoFrames', size=(32, 48)), dict(type='mmvidmae.PackVideoSequence')]


def write_frames(folder: Path, num: int, size=(60, 90), first: int = 0, suffix: str = '.jpg') -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for index in range(num):
        image = np.full((*size, 3), (200, 100, 20 + 10 * index), np.uint8)
        Image.fromarray(image).save(folder / f'{first + index:05d}{suffix}', quality=95)


def mask_with(ids, size=(60, 90)) -> np.ndarray:
    mask = np.zeros(size, np.uint8)
    for index, value in enumerate(ids):
        mask[10 * index : 10 * index + 10, 20:50] = value
    return mask


def names_of(dataset) -> list[str]:
    return [dataset.get_data_info(index)['video_name'] for index in range(len(dataset))]


@pytest.fixture
def davis(tmp_path):
    """Two sequences of 3 and 1 frames, with void in the first masks."""
    for name, num in (('bear', 3), ('camel', 1)):
        write_frames(tmp_path / 'JPEGImages/480p' / name, num)
        for index in range(num):
            write_label_map(tmp_path / f'Annotations/480p/{name}/{index:05d}.png', mask_with([1, 2, 255]))
    for year in ('2016', '2017'):
        (tmp_path / 'ImageSets' / year).mkdir(parents=True)
        (tmp_path / 'ImageSets' / year / 'val.txt').write_text('bear\ncamel\n')
    return tmp_path


def test_davis_2017(davis):
    dataset = DATASETS.build(dict(type='mmvidmae.DAVISDataset', data_root=str(davis), pipeline=PIPELINE))
    assert len(dataset) == 2
    item = dataset[0]
    sample = item['data_samples']
    assert item['inputs'].shape == (3, 3, 32, 48)
    assert item['inputs'].dtype == torch.uint8
    # RGB, in the order of the frames
    np.testing.assert_allclose(item['inputs'].float().mean((2, 3))[:, :2], [[200, 100]] * 3, atol=3)
    assert (item['inputs'][:, 2].float().mean((1, 2)).diff() > 0).all()
    assert (sample.video_name, sample.frame_names) == ('bear', ['00000', '00001', '00002'])
    assert (sample.ori_shape, sample.img_shape, sample.out_shape) == ((60, 90), (32, 48), (60, 90))
    assert sample.input_size == '32x48'
    assert list(sample.reference_masks) == [0]
    assert np.array_equal(sample.reference_masks[0], mask_with([1, 2])), 'void is background'
    assert [Path(path).name for path in sample.gt_paths] == ['00000.png', '00001.png', '00002.png']
    assert len(dataset[1]['data_samples'].frame_names) == 1
    assert set(pseudo_collate([item])) == {'inputs', 'data_samples'}


def test_davis_2016_has_one_object(davis):
    dataset = DAVISDataset(str(davis), year='2016', pipeline=PIPELINE)
    assert np.array_equal(dataset[0]['data_samples'].reference_masks[0], mask_with([1, 1, 1]))


def test_the_list_of_the_2016_release(davis):
    (davis / 'ImageSets/2016/val.txt').unlink()
    (davis / 'ImageSets/480p').mkdir()
    lines = [
        f'/JPEGImages/480p/{name}/{index:05d}.jpg /Annotations/480p/{name}/{index:05d}.png '
        for name, num in (('camel', 1), ('bear', 3))
        for index in range(num)
    ]
    (davis / 'ImageSets/480p/val.txt').write_text('\n'.join(lines))
    dataset = DAVISDataset(str(davis), year='2016')
    assert names_of(dataset) == ['camel', 'bear']


def test_test_dev_has_first_masks_only(davis):
    (davis / 'ImageSets/2017/test-dev.txt').write_text('bear\n')
    for index in (1, 2):
        (davis / f'Annotations/480p/bear/{index:05d}.png').unlink()
    sample = DAVISDataset(str(davis), split='test-dev', pipeline=PIPELINE)[0]['data_samples']
    assert sample.gt_paths == [None, None, None]
    assert list(sample.reference_masks) == [0]


def test_all_that_is_wrong_is_told_at_once(davis):
    (davis / 'ImageSets/2017/val.txt').write_text('bear\ncamel\nghost\n')
    (davis / 'Annotations/480p/bear/00001.png').unlink()
    (davis / 'JPEGImages/480p/camel/00000.jpg').write_bytes(b'')
    with pytest.raises(ValueError, match='3 problems with 3 videos') as caught:
        DAVISDataset(str(davis))
    for part in ('bear: 00001.png is missing', 'camel/00000.jpg: the file is empty', 'ghost: No such file'):
        assert part in str(caught.value)
    assert len(DAVISDataset(str(davis), sequences=['bear'], split='test')) == 1, 'one may leave videos out'


@pytest.mark.parametrize(
    ('break_it', 'message'),
    [
        (lambda root: (root / 'ImageSets/2017/val.txt').unlink(), 'val.txt is missing'),
        (lambda root: (root / 'ImageSets/2017/val.txt').write_text('\n'), 'no video is listed'),
        (lambda root: (root / 'ImageSets/2017/val.txt').write_text('bear\nbear\n'), 'listed twice: bear'),
        (lambda root: (root / 'JPEGImages/480p/bear/00002.jpg').unlink(), 'bear: 00002.png has no frame'),
        (
            lambda root: write_label_map(root / 'Annotations/480p/bear/00000.png', mask_with([1], (30, 90))),
            '90 x 30 pixels, but its frame has 90 x 60',
        ),
        (lambda root: (root / 'Annotations/480p/bear/00000.png').write_bytes(b'no'), '00000.png: no readable image'),
        (lambda root: (root / 'Annotations/480p/bear/00002.png').write_bytes(b''), '00002.png: no readable image'),
        (
            lambda root: write_label_map(root / 'Annotations/480p/bear/00002.png', mask_with([1], (30, 90))),
            '00002.png: 90 x 30 pixels, but its frame has 90 x 60',
        ),
        (
            lambda root: Image.new('RGB', (90, 60)).save(root / 'Annotations/480p/bear/00001.png'),
            '00001.png: an image of mode RGB, not ids',
        ),
        (
            lambda root: [
                (root / 'JPEGImages/480p/bear/00001.jpg').unlink(),
                (root / 'JPEGImages/480p/bear/00001.jpg').symlink_to(root / 'moved.jpg'),
            ],
            '00001.jpg: No such file',
        ),
        (lambda root: [path.unlink() for path in (root / 'JPEGImages/480p/camel').iterdir()], 'camel: no images'),
    ],
)
def test_what_is_checked_before_anything_runs(davis, break_it, message):
    break_it(davis)
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        DAVISDataset(str(davis))


def test_other_mistakes(davis, tmp_path):
    with pytest.raises(FileNotFoundError, match='is no folder'):
        DAVISDataset(str(tmp_path / 'nowhere'))
    with pytest.raises(ValueError, match='year must be'):
        DAVISDataset(str(davis), year='2018')
    write_label_map(davis / 'Annotations/480p/bear/00000.png', mask_with([255]))
    with pytest.raises(ValueError, match=r'video bear: no object is given in .*00000\.png'):
        DAVISDataset(str(davis), pipeline=PIPELINE)[0]
    with pytest.raises(TypeError, match="must be a list of names, got 'bear'"):
        DAVISDataset(str(davis), sequences='bear')


def test_own_list_and_own_sequences(davis):
    (davis / 'few.txt').write_text('\ncamel\n')
    assert names_of(DAVISDataset(str(davis), ann_file='few.txt')) == ['camel']
    assert names_of(DAVISDataset(str(davis), ann_file=str(davis / 'few.txt'))) == ['camel']
    assert names_of(DAVISDataset(str(davis), ann_file='few.txt', sequences=['camel', 'bear'])) == ['camel', 'bear']
    with pytest.raises(FileNotFoundError, match=r'fewer\.txt is missing'):
        DAVISDataset(str(davis), ann_file='fewer.txt')


def test_nothing_is_read_before_a_lazy_dataset_is_needed(tmp_path):
    dataset = DAVISDataset(str(tmp_path / 'nowhere'), lazy_init=True)
    with pytest.raises(FileNotFoundError, match='is no folder'):
        dataset.full_init()


def test_twenty_problems_are_listed(davis):
    (davis / 'ImageSets/2017/val.txt').write_text(''.join(f'ghost{index}\n' for index in range(25)))
    with pytest.raises(ValueError, match='25 problems with 25 videos') as caught:
        DAVISDataset(str(davis))
    assert str(caught.value).count('ghost') == 20
    assert str(caught.value).endswith('and 5 more')


def test_hidden_files_beside_masks_do_not_matter(davis):
    (davis / 'Annotations/480p/bear/._00000.png').write_bytes(b'left by a Mac')
    assert len(DAVISDataset(str(davis))) == 2


def test_damaged_frames_are_named(davis):
    path = davis / 'JPEGImages/480p/bear/00001.jpg'
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(VideoReadError, match=r'00001\.jpg is no readable image'):
        DAVISDataset(str(davis), pipeline=PIPELINE)[0]
    write_frames(path.parent, 1, (30, 90), first=1)
    with pytest.raises(VideoReadError, match=r'00001\.jpg is 90x30, the frames before 90x60'):
        DAVISDataset(str(davis), pipeline=PIPELINE)[0]


def test_frames_that_are_turned(davis):
    """Masks are as large as the frames are upright."""
    exif = Image.Exif()
    exif[0x0112] = 8
    paths = sorted((davis / 'JPEGImages/480p/bear').iterdir())
    for path in paths:
        image = np.full((90, 60, 3), 40, np.uint8)
        image[:20] = 200  # the left side when it is upright
        Image.fromarray(image).save(path, exif=exif, quality=95)
    data = DAVISDataset(str(davis), sequences=['bear'], pipeline=[LoadVideoFrames(divisor=30), PackVideoSequence()])
    frame = data[0]['inputs'][0].float().mean(0)
    assert frame.shape == (60, 90)
    assert frame[:, :15].min() > 150 > 60 > frame[:, 30:].max()
    Image.fromarray(np.zeros((60, 90, 3), np.uint8)).save(paths[0], exif=exif)
    with pytest.raises(ValueError, match=r'00000\.png: 90 x 60 pixels, but its frame has 60 x 90'):
        DAVISDataset(str(davis))


def test_masks_of_shades_and_of_0_and_255(davis):
    first = davis / 'Annotations/480p/bear/00000.png'
    mask = cv2.ellipse(np.zeros((60, 90), np.uint8), (45, 30), (25, 15), 20, 0, 360, 255, -1)
    Image.fromarray(cv2.GaussianBlur(mask, (0, 0), 1)).save(first)
    with pytest.raises(ValueError, match=r'bear/00000\.png holds shades and not ids'):
        DAVISDataset(str(davis), pipeline=PIPELINE)[0]
    Image.fromarray(mask).save(first)
    with pytest.raises(ValueError, match=r"video bear: no object is given in .* holds 255, which is void.*year='2016'"):
        DAVISDataset(str(davis), pipeline=PIPELINE)[0]
    merged = DAVISDataset(str(davis), year='2016', pipeline=PIPELINE)[0]['data_samples']
    assert np.array_equal(merged.reference_masks[0], mask > 0)


@pytest.mark.parametrize('content', ['huge', 'text'])
def test_bad_pictures_are_found_by_their_headers(davis, content):
    path = davis / 'JPEGImages/480p/bear/00000.jpg'
    file = BytesIO()
    Image.new('RGB', (90, 60)).save(file, 'BMP')
    data = bytearray(file.getvalue())
    data[18:26] = struct.pack('<ii', 40000, 40000)
    path.write_bytes(data if content == 'huge' else b'text')
    with pytest.raises(ValueError, match=r'bear/00000\.jpg: no readable image'):
        DAVISDataset(str(davis))


@pytest.fixture
def youtube(tmp_path):
    """A video of 4 frames: object 1 from the first on, 2 and 5 from the third on, whose mask shows all three."""
    root = tmp_path / 'valid'
    for index in range(4):
        write_frames(root / 'JPEGImages/v1', 1, first=5 * index)
    write_label_map(root / 'Annotations/v1/00000.png', mask_with([1]))
    write_label_map(root / 'Annotations/v1/00010.png', mask_with([1, 2, 5]))
    objects = {'1': ['00000', '00005'], '2': ['00010', '00015'], '5': ['00010']}
    meta = dict(v1=dict(objects={key: dict(category='cat', frames=frames) for key, frames in objects.items()}))
    (root / 'meta.json').write_text(json.dumps(dict(videos=meta)))
    return tmp_path


def test_youtube_vos_gives_objects_where_they_appear(youtube):
    sample = YouTubeVOSDataset(str(youtube), pipeline=PIPELINE)[0]['data_samples']
    assert sample.frame_names == ['00000', '00005', '00010', '00015']
    assert list(sample.reference_masks) == [0, 2]
    assert np.array_equal(sample.reference_masks[0], mask_with([1]))
    assert np.array_equal(sample.reference_masks[2], mask_with([0, 2, 5])), 'only what is new'
    assert sample.gt_paths == [None] * 4


def test_youtube_vos_training_split_has_ground_truth(youtube):
    (youtube / 'valid').rename(youtube / 'train')
    sample = YouTubeVOSDataset(str(youtube), split='train', pipeline=PIPELINE)[0]['data_samples']
    assert [path is not None for path in sample.gt_paths] == [True, False, True, False]


FILES = (('JPEGImages', 'jpg'), ('Annotations', 'png'))


@pytest.mark.parametrize(
    ('break_it', 'message'),
    [
        (lambda root: (root / 'meta.json').unlink(), 'meta.json is missing'),
        (lambda root: (root / 'meta.json').write_text('[]'), "is not YouTube-VOS's list"),
        (lambda root: (root / 'Annotations/v1/00010.png').unlink(), '00010.png, where object 2 is given, is missing'),
        (lambda root: (root / 'JPEGImages/v1/00000.jpg').unlink(), '00000.png has no frame'),
        (
            lambda root: [(root / f'{part}/v1/00010.{end}').unlink() for part, end in FILES],
            '00010.jpg, in which object 5 appears, is missing',
        ),
        (
            lambda root: (root / 'meta.json').write_text('{"videos": {"v1": {"objects": {}}}}'),
            'no objects with frames for video v1',
        ),
    ],
)
def test_youtube_vos_mistakes(youtube, break_it, message):
    break_it(youtube / 'valid')
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        YouTubeVOSDataset(str(youtube))


@pytest.fixture
def vip(tmp_path):
    """Two videos of two frames, of different sizes."""
    (tmp_path / 'lists').mkdir()
    (tmp_path / 'lists/val_videos.txt').write_text('videos1\nvideos2\n')
    for name, size in (('videos1', (60, 90)), ('videos2', (101, 53))):
        write_frames(tmp_path / 'Images' / name, 2, size)
        for index in range(2):
            path = tmp_path / f'Annotations/Category_ids/{name}/{index:05d}.png'
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(mask_with([13, 19], size)).save(path)  # gray
    return tmp_path


def test_vip(vip):
    dataset = VIPDataset(str(vip), pipeline=[LoadVideoFrames(long_side=80, divisor=16), PackVideoSequence()])
    assert len(dataset.metainfo['classes']) == 20
    samples = [dataset[index]['data_samples'] for index in range(2)]
    assert np.array_equal(samples[0].reference_masks[0], mask_with([13, 19]))
    assert all(samples[0].gt_paths)
    assert [sample.ori_shape for sample in samples] == [(60, 90), (101, 53)]
    assert [sample.img_shape for sample in samples] == [(48, 80), (80, 32)]


@pytest.mark.parametrize(
    ('break_it', 'message'),
    [
        (lambda root: (root / 'lists/val_videos.txt').unlink(), 'val_videos.txt is missing'),
        (lambda root: (root / 'Annotations/Category_ids/videos2/00001.png').unlink(), 'videos2: 00001.png is missing'),
        (
            lambda root: Image.new('RGB', (53, 101)).save(root / 'Annotations/Category_ids/videos2/00001.png'),
            '00001.png: an image of mode RGB, not ids',
        ),
    ],
)
def test_vip_mistakes(vip, break_it, message):
    break_it(vip)
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        VIPDataset(str(vip))


@pytest.fixture
def jhmdb(tmp_path):
    """Two videos of class clap, of 4 frames of which 3 have joints."""
    for seed, name in enumerate(('a_clap', 'b_clap')):
        write_frames(tmp_path / 'Rename_Images/clap' / name, 4, first=1, suffix='.png')
        folder = tmp_path / 'joint_positions/clap' / name
        folder.mkdir(parents=True)
        points = np.random.default_rng(seed).uniform(1, 60, (2, 15, 3))
        savemat(folder / 'joint_positions.mat', dict(pos_img=points))
    (tmp_path / 'splits').mkdir()
    (tmp_path / 'splits/clap_test_split1.txt').write_text('a_clap.avi 1\nb_clap.avi 2\n')
    return tmp_path


def test_jhmdb(jhmdb):
    dataset = JHMDBDataset(str(jhmdb), pipeline=PIPELINE)
    assert names_of(dataset) == ['clap/b_clap'], 'the test part of the split'
    sample = dataset[0]['data_samples']
    points = np.random.default_rng(1).uniform(1, 60, (2, 15, 3))
    assert sample.gt_joints.shape == (3, 15, 2)
    np.testing.assert_allclose(sample.gt_joints[2, 4], points[:, 4, 2] - 1)
    assert np.array_equal(sample.reference_joints, sample.gt_joints[0])
    assert len(sample.frame_names) == 4
    assert len(dataset.metainfo['joint_names']) == 15


@pytest.mark.parametrize('reverse', [False, True])
def test_jhmdb_lists_of_uvc_and_crw(jhmdb, reverse):
    lines = []
    for name in ('b_clap', 'a_clap'):
        pair = (f'JHMDB/joint_positions/clap/{name}/joint_positions.mat', f'/somewhere/Rename_Images/clap/{name}')
        lines.append(' '.join(pair[::-1] if reverse else pair))
    (jhmdb / 'list.txt').write_text('\n'.join(lines) + '\n')
    assert names_of(JHMDBDataset(str(jhmdb), ann_file='list.txt')) == ['clap/b_clap', 'clap/a_clap']


@pytest.mark.parametrize(
    ('line', 'message'),
    [
        ('x/clap/a_clap/joint_positions.mat', 'expected two columns'),
        ('x/clap/a_clap x/clap/a_clap', 'expected one .mat file and one folder'),
        ('x/clap/a_clap/joint_positions.mat x/clap/b_clap', 'joints and frames of different videos'),
    ],
)
def test_jhmdb_list_mistakes(jhmdb, line, message):
    (jhmdb / 'list.txt').write_text(f'\n{line}\n')
    with pytest.raises(ValueError, match=rf'list\.txt:2: {message}'):
        JHMDBDataset(str(jhmdb), ann_file='list.txt')


def test_jhmdb_video_of_one_frame(jhmdb):
    folder = jhmdb / 'joint_positions/clap/b_clap'
    savemat(folder / 'joint_positions.mat', dict(pos_img=np.full((2, 15), 7.0)))  # as MATLAB stores one frame
    for index in (2, 3, 4):
        (jhmdb / f'Rename_Images/clap/b_clap/0000{index}.png').unlink()
    item = JHMDBDataset(str(jhmdb), pipeline=PIPELINE)[0]
    assert len(item['inputs']) == 1
    assert np.array_equal(item['data_samples'].gt_joints, np.full((1, 15, 2), 6.0))


@pytest.mark.parametrize(
    ('break_it', 'message'),
    [
        (lambda root: (root / 'splits/clap_test_split1.txt').write_text('b_clap\n'), 'split1.txt:1: expected two'),
        (lambda root: (root / 'joint_positions/clap/b_clap/joint_positions.mat').unlink(), 'No such file'),
        (
            lambda root: (root / 'joint_positions/clap/b_clap/joint_positions.mat').write_bytes(b'x' * 200),
            'not a readable file of joint positions',
        ),
        (lambda root: (root / 'Rename_Images/clap/b_clap/00004.png').rename(root / 'x'), None),
        (
            lambda root: [(root / f'Rename_Images/clap/b_clap/0000{i}.png').unlink() for i in (3, 4)],
            'joints of 3 frames, but 2 frames',
        ),
        (
            lambda root: (root / 'Rename_Images/clap/b_clap/00002.png').unlink(),
            '00003 is frame 2 of the folder',
        ),
        (
            lambda root: savemat(
                root / 'joint_positions/clap/b_clap/joint_positions.mat', dict(pos_img=np.zeros((2, 15, 0)))
            ),
            r'must be 2 x joints x frames, not \(2, 15, 0\)',
        ),
    ],
)
def test_jhmdb_mistakes(jhmdb, break_it, message):
    break_it(jhmdb)
    if message is None:
        assert len(JHMDBDataset(str(jhmdb))) == 1
        return
    with pytest.raises(ValueError, match=message):
        JHMDBDataset(str(jhmdb))


@pytest.mark.parametrize(
    ('options', 'size', 'expected'),
    [
        (dict(size=(480, 880)), (480, 854), (480, 880)),
        (dict(short_side=480), (480, 854), (480, 832)),
        (dict(short_side=480), (1000, 563), (832, 480)),
        (dict(short_side=960, divisor=16, round_up=True), (480, 854), (960, 1712)),
        (dict(short_side=840, divisor=14, round_up=True), (480, 854), (840, 1498)),
        (dict(short_side=100, divisor=16, round_up=True), (640, 360), (208, 112)),
        (dict(long_side=880), (720, 1280), (448, 880)),
        (dict(long_side=880), (1080, 810), (880, 640)),
        (dict(divisor=16), (480, 854), (480, 848)),
        (dict(divisor=8), (7, 854), None),
    ],
)
def test_input_sizes(options, size, expected):
    load = LoadVideoFrames(**options)
    if expected is None:
        with pytest.raises(ValueError, match='too small'):
            load.resized(size)
    else:
        assert load.resized(size) == expected


def test_frames_are_resized_as_opencv_and_pillow_do(davis):
    rng = np.random.default_rng(0)
    folder = davis / 'JPEGImages/480p/bear'
    frames = rng.integers(0, 256, (3, 60, 90, 3), dtype=np.uint8)
    for index, frame in enumerate(frames):
        (folder / f'{index:05d}.jpg').unlink()
        Image.fromarray(frame).save(folder / f'{index:05d}.png')

    def inputs(**options) -> np.ndarray:
        pipeline = [LoadVideoFrames(**options), PackVideoSequence()]
        return DAVISDataset(str(davis), pipeline=pipeline)[0]['inputs'].permute(0, 2, 3, 1).numpy()

    assert np.array_equal(inputs(divisor=30), frames), 'untouched at their own size'
    expected = [cv2.resize(frame, (48, 32), interpolation=cv2.INTER_LINEAR) for frame in frames]
    assert np.array_equal(inputs(size=(32, 48)), expected)
    expected = [np.asarray(Image.fromarray(frame).resize((48, 32), Image.BICUBIC)) for frame in frames]
    assert np.array_equal(inputs(size=(32, 48), interpolation='bicubic'), expected)


def test_sizes_of_predictions(davis):
    pipeline = [LoadVideoFrames(short_side=64, divisor=32, out_size=(48, 88)), PackVideoSequence()]
    sample = DAVISDataset(str(davis), pipeline=pipeline)[0]['data_samples']
    assert (sample.img_shape, sample.out_shape) == ((64, 96), (48, 88))
    with pytest.raises(ValueError, match='give one of'):
        LoadVideoFrames(size=(32, 32), short_side=480)
    with pytest.raises(ValueError, match='round_up needs short_side'):
        LoadVideoFrames(size=(32, 32), round_up=True)
    with pytest.raises(ValueError, match="interpolation must be 'bilinear' or 'bicubic'"):
        LoadVideoFrames(interpolation='lanczos')
