"""Pairs of frames with masks: which frames, augmentation, chosen objects."""

import random
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.dataset import ConcatDataset
from PIL import Image

from mmvidmae.datasets import PackVOSInputs, VOSPairAugment, VOSPairDataset


@pytest.fixture
def long_davis(tmp_path):
    """One DAVIS sequence of 40 frames, whose brightness is their number, with three objects and void."""
    (tmp_path / 'ImageSets/2017').mkdir(parents=True)
    (tmp_path / 'ImageSets/2017/train.txt').write_text('v\n')
    mask = np.zeros((48, 64), np.uint8)
    for index, number in enumerate((2, 5, 9)):
        mask[10:30, 4 + 20 * index : 18 + 20 * index] = number
    mask[40:] = 255
    for number in range(40):
        for folder, suffix, image in (
            ('JPEGImages', 'jpg', np.full((48, 64, 3), 6 * number, np.uint8)),
            ('Annotations', 'png', mask),
        ):
            path = tmp_path / folder / f'480p/v/{number:05d}.{suffix}'
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(path)
    return dict(type='mmvidmae.DAVISDataset', data_root=str(tmp_path), split='train')


def numbers(item: dict) -> list[int]:
    return [int(name) for name in item['frame_names']]


def center(weight: torch.Tensor) -> list[float]:
    """Center of mass (y, x) of a map."""
    return [float((weight.sum(1 - axis) * torch.arange(weight.shape[axis])).sum() / weight.sum()) for axis in (0, 1)]


class TestPairs:
    def test_gaps_to_both_sides(self, long_davis):
        random.seed(0)
        data = VOSPairDataset(long_davis, max_gap=7, repeat=3)
        assert len(data) == 3
        gaps = []
        for _ in range(300):
            item = data[0]
            first, second = numbers(item)
            assert [round(float(frame.mean()) / 6) for frame in item['frames']] == [first, second]
            gaps.append(second - first)
        assert set(gaps) == set(range(-7, 8)) - {0}
        assert 0.4 < np.mean(np.array(gaps) > 0) < 0.6

    def test_what_cannot_be_read_is_replaced(self, long_davis):
        root = Path(long_davis['data_root'])
        for number in range(0, 40, 2):
            folder, suffix = ('JPEGImages', 'jpg') if number % 4 else ('Annotations', 'png')
            path = root / f'{folder}/480p/v/{number:05d}.{suffix}'
            path.write_bytes(path.read_bytes()[: 2 * path.stat().st_size // 3])
        data = VOSPairDataset(long_davis, max_gap=7)
        for _ in range(20):
            assert all(number % 2 for number in numbers(data[0]))

    def test_masks_of_0_and_255_get_a_hint(self, long_davis):
        for path in Path(long_davis['data_root'], 'Annotations/480p/v').iterdir():
            Image.fromarray(np.where(np.asarray(Image.open(path)) == 2, 255, 0).astype(np.uint8)).save(path)
        data = VOSPairDataset(long_davis, pipeline=[dict(type='mmvidmae.VOSPairAugment', size=32), PackVOSInputs()])
        with pytest.raises(ValueError, match=r"00000\.png holds 255, which is void.*of DAVISDataset: year='2016'"):
            data[0]
        merged = VOSPairDataset(dict(long_davis, year='2016', ann_file='ImageSets/2017/train.txt'))
        assert merged[0]['masks'][0].max() == 1

    def test_all_gaps_are_equally_likely(self, long_davis):
        """The earlier frame is drawn first, uniformly; far from the end of the video the gap is uniform, too."""
        random.seed(0)
        data = VOSPairDataset(long_davis, max_gap=4)
        pairs = [sorted(numbers(data[0])) for _ in range(1500)]
        counts = np.bincount([later - earlier for earlier, later in pairs if earlier < 35], minlength=5)
        assert len(counts) == 5
        assert counts[0] == 0
        expected = counts.sum() / 4
        assert ((counts[1:] - expected) ** 2 / expected).sum() < 16.3, 'chi-square of 3 degrees of freedom, p = 0.001'
        starts = np.bincount([earlier for earlier, _ in pairs], minlength=39)
        assert len(starts) == 39, 'any frame but the last'
        assert starts.min() > 0

    def test_gaps_are_counted_in_annotated_frames(self, long_davis, tmp_path):
        for number in range(40):
            if number % 5:
                (tmp_path / f'Annotations/480p/v/{number:05d}.png').unlink()
                (tmp_path / f'JPEGImages/480p/v/{number:05d}.jpg').unlink()
        random.seed(0)
        data = VOSPairDataset(long_davis, max_gap=4)
        gaps = {abs(np.diff(numbers(data[0]))[0]) for _ in range(200)}
        assert gaps == {5, 10, 15, 20}, 'as in YouTube-VOS, every fifth frame is there'

    def test_two_data_sets_in_one(self, long_davis, davis):
        other = dict(type='mmvidmae.DAVISDataset', data_root=str(davis), split='val')
        parts = [dict(type='mmvidmae.VOSPairDataset', videos=videos, repeat=2) for videos in (long_davis, other)]
        joined = ConcatDataset(parts, ignore_keys=['dataset_type'])
        assert len(joined) == 2 * 1 + 2 * 3
        assert {joined[index]['video_name'] for index in range(8)} == {'v', 'a', 'b', 'c'}

    def test_bad_arguments(self, long_davis):
        with pytest.raises(ValueError, match='max_gap must be at least 1, got 0'):
            VOSPairDataset(long_davis, max_gap=0)
        with pytest.raises(ValueError, match='repeat must be at least 1, got 0'):
            VOSPairDataset(long_davis, repeat=0)
        with pytest.raises(ValueError, match='0 < lo <= hi <= 1'):
            VOSPairAugment(scale=(0.4, 36))
        with pytest.raises(ValueError, match='these videos do not have: v'):
            VOSPairDataset({**long_davis, 'split': 'test-dev', 'sequences': ['v']})

    def test_pairs_without_objects_are_drawn_again_and_in_the_end_named(self, long_davis, tmp_path):
        for path in (tmp_path / 'Annotations/480p/v').iterdir():
            Image.fromarray(np.zeros((48, 64), np.uint8)).save(path)
        data = VOSPairDataset(
            long_davis, pipeline=[dict(type='mmvidmae.VOSPairAugment', size=16), dict(type='mmvidmae.PackVOSInputs')]
        )
        with pytest.raises(ValueError, match='the last of video v, show no object'):
            data[0]


class TestAugment:
    def test_masks_stay_on_their_objects(self):
        torch.manual_seed(0)
        frame, mask = np.zeros((60, 90, 3), np.uint8), np.zeros((60, 90), np.uint8)
        frame[20:40, 30:60, 0], mask[20:40, 30:60] = 255, 7
        for _ in range(20):
            result = VOSPairAugment(size=48)(dict(frames=[frame, frame], masks=[mask, mask]))
            for image, ids in zip(result['frames'], result['masks']):
                assert (image.shape, image.dtype) == ((3, 48, 48), torch.uint8)
                assert (ids.shape, ids.dtype) == ((48, 48), torch.uint8)
                assert set(ids.unique().tolist()) <= {0, 7}
                difference = image[0].float() - image[1].float()
                if difference.max() > 100:  # not gray
                    bright = difference > difference.max() / 2
                    both, either = (bright & (ids == 7)).sum(), (bright | (ids == 7)).sum()
                    assert both / either > 0.85, 'all but pixels of the edge'

    @pytest.mark.parametrize('affine', [True, False], ids=['crop, flip, affine', 'crop, flip'])
    @pytest.mark.parametrize('size', [(150, 210), (333, 480)], ids=['enlarged', 'reduced'])
    def test_masks_lie_where_the_picture_does(self, size, affine):
        """The centers of a disk in picture and mask, averaged over many draws."""
        torch.manual_seed(0)
        height, width = size
        y, x = np.mgrid[:height, :width]
        mask = ((y - 0.45 * height) ** 2 + (x - 0.52 * width) ** 2 < (0.12 * height) ** 2).astype(np.uint8)
        frame = np.stack([mask * 200 + 20] * 3, axis=2)
        augment = VOSPairAugment(size=192, **({} if affine else dict(degrees=0, shear=0)))
        offsets = []
        for _ in range(120):
            result = augment(dict(frames=[frame] * 2, masks=[mask] * 2))
            for image, ids in zip(result['frames'], result['masks']):
                edges = torch.cat((ids[0], ids[-1], ids[:, 0], ids[:, -1]))
                if edges.any():
                    continue  # cut
                # what a bicubic kernel or what lies outside adds far from the disk is no part of it
                near = torch.nn.functional.max_pool2d(ids[None].float(), 9, 1, 4)[0] > 0
                weight = (image.float().mean(0) - image.float().mean(0)[near].min()) * near
                offsets.append([a - b for a, b in zip(center(weight), center(ids.float()))])
        assert len(offsets) > 60
        mean = np.abs(np.mean(offsets, axis=0))
        assert mean.max() < 0.05, 'pixels'

    def test_frames_share_crop_and_flip_but_not_the_affine_change(self):
        torch.manual_seed(0)
        ramp = np.repeat(np.linspace(30, 220, 90, dtype=np.uint8)[None, :, None], 60, 0).repeat(3, 2)
        mask = np.ones((60, 90), np.uint8)
        first, second = VOSPairAugment(size=48, degrees=0, shear=0)(dict(frames=[ramp] * 2, masks=[mask] * 2))['frames']
        assert (first.float() - second.float()).abs().max() < 12, 'slight colors alone'
        first, second = VOSPairAugment(size=48)(dict(frames=[ramp] * 2, masks=[mask] * 2))['masks']
        assert (first != second).any()


class TestPacking:
    def pack(self, max_objects: int = 2):
        masks = torch.zeros(2, 8, 8, dtype=torch.uint8)
        masks[0, :2], masks[0, 2:4], masks[0, 6:], masks[1, :3], masks[1, 3:] = 4, 9, 255, 9, 200
        frames = [torch.zeros(3, 8, 8, dtype=torch.uint8)] * 2
        results = dict(frames=frames, masks=list(masks), video_name='v', frame_names=['0', '1'])
        return PackVOSInputs(max_objects)(results), masks

    def test_objects_of_the_remembered_frame_get_the_first_ids(self):
        random.seed(0)
        seen = set()
        for _ in range(20):
            packed, masks = self.pack()
            sample = packed['data_samples']
            assert packed['inputs'].shape == (2, 3, 8, 8)
            assert sample.num_objects == 2
            order = [int(masks[0][sample.gt_masks[0] == number].unique()) for number in (1, 2)]
            assert sorted(order) == [4, 9]
            assert sample.gt_masks[1].unique().tolist() == [0, order.index(9) + 1], '200 is not in the first frame'
            seen.add(tuple(order))
        assert len(seen) == 2

    def test_fewer_objects(self):
        packed, _ = self.pack(max_objects=1)
        assert packed['data_samples'].num_objects == 1
        assert packed['data_samples'].gt_masks.max() == 1
