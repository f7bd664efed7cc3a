"""Pairs of frames with masks: which frames, augmentation, chosen objects, the curriculum across workers."""

import random
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.dataset import ConcatDataset
from PIL import Image
from torch.utils.data import DataLoader

from mmvidmae.datasets import MaskPairAugment, MaskPairDataset, PackMaskPair
from mmvidmae.engine.hooks import GapCurriculumHook


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


class TestPairs:
    def test_gaps_to_both_sides(self, long_davis):
        random.seed(0)
        data = MaskPairDataset(long_davis, max_gap=7, repeat=3)
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
        data = MaskPairDataset(long_davis, max_gap=7)
        for _ in range(20):
            assert all(number % 2 for number in numbers(data[0]))

    def test_masks_of_0_and_255_get_a_hint(self, long_davis):
        for path in Path(long_davis['data_root'], 'Annotations/480p/v').iterdir():
            Image.fromarray(np.where(np.asarray(Image.open(path)) == 2, 255, 0).astype(np.uint8)).save(path)
        data = MaskPairDataset(long_davis, pipeline=[dict(type='mmvidmae.MaskPairAugment', size=32), PackMaskPair()])
        with pytest.raises(ValueError, match=r"00000\.png holds 255, which is void.*of DAVISDataset: year='2016'"):
            data[0]
        merged = MaskPairDataset(dict(long_davis, year='2016', ann_file='ImageSets/2017/train.txt'))
        assert merged[0]['masks'][0].max() == 1

    def test_gaps_are_measured_in_frames_of_the_video(self, long_davis):
        random.seed(0)
        data = MaskPairDataset(long_davis, max_gap=25, frame_step=5)
        assert max(abs(np.diff(numbers(data[0]))[0]) for _ in range(200)) == 5, '5 listed frames are 25 of the video'
        data.max_gap = 1
        assert data.max_gap == 5, 'the next listed frame is always in reach'

    def test_the_gap_changes_in_workers_that_run(self, long_davis):
        random.seed(0)
        data = MaskPairDataset(long_davis, max_gap=20, repeat=100)
        loader = DataLoader(
            data, batch_size=1, num_workers=1, persistent_workers=True, prefetch_factor=1, collate_fn=lambda x: x[0]
        )
        wide = [abs(np.diff(numbers(item))[0]) for item in loader]
        data.max_gap = 2
        narrow = [abs(np.diff(numbers(item))[0]) for item in loader]
        assert max(wide) > 10
        assert max(narrow) <= 2

    def test_two_data_sets_in_one(self, long_davis, davis):
        other = dict(type='mmvidmae.DAVISDataset', data_root=str(davis), split='val')
        parts = [dict(type='mmvidmae.MaskPairDataset', videos=videos, repeat=2) for videos in (long_davis, other)]
        joined = ConcatDataset(parts, ignore_keys=['dataset_type'])
        assert len(joined) == 2 * 1 + 2 * 3
        assert {joined[index]['video_name'] for index in range(8)} == {'v', 'a', 'b', 'c'}

    def test_bad_arguments(self, long_davis):
        with pytest.raises(ValueError, match='max_gap=3 does not reach the next frame, which is 5 away'):
            MaskPairDataset(long_davis, max_gap=3, frame_step=5)
        with pytest.raises(ValueError, match='these videos do not have: v'):
            MaskPairDataset({**long_davis, 'split': 'test-dev', 'sequences': ['v']})

    def test_pairs_without_objects_are_drawn_again_and_in_the_end_named(self, long_davis, tmp_path):
        for path in (tmp_path / 'Annotations/480p/v').iterdir():
            Image.fromarray(np.zeros((48, 64), np.uint8)).save(path)
        data = MaskPairDataset(
            long_davis, pipeline=[dict(type='mmvidmae.MaskPairAugment', size=16), dict(type='mmvidmae.PackMaskPair')]
        )
        with pytest.raises(ValueError, match='the last of video v, show no object'):
            data[0]


class TestAugment:
    def test_masks_stay_on_their_objects(self):
        torch.manual_seed(0)
        frame, mask = np.zeros((60, 90, 3), np.uint8), np.zeros((60, 90), np.uint8)
        frame[20:40, 30:60, 0], mask[20:40, 30:60] = 255, 7
        for _ in range(20):
            result = MaskPairAugment(size=48)(dict(frames=[frame, frame], masks=[mask, mask]))
            for image, ids in zip(result['frames'], result['masks']):
                assert (image.shape, image.dtype) == ((3, 48, 48), torch.uint8)
                assert (ids.shape, ids.dtype) == ((48, 48), torch.uint8)
                assert set(ids.unique().tolist()) <= {0, 7}
                difference = image[0].float() - image[1].float()
                if difference.max() > 100:  # not grey
                    bright = difference > difference.max() / 2
                    both, either = (bright & (ids == 7)).sum(), (bright | (ids == 7)).sum()
                    assert both / either > 0.85, 'all but pixels of the edge'

    def test_frames_share_crop_and_flip_but_not_the_affine_change(self):
        torch.manual_seed(0)
        ramp = np.repeat(np.linspace(30, 220, 90, dtype=np.uint8)[None, :, None], 60, 0).repeat(3, 2)
        mask = np.ones((60, 90), np.uint8)
        first, second = MaskPairAugment(size=48, degrees=0, shear=0)(dict(frames=[ramp] * 2, masks=[mask] * 2))[
            'frames'
        ]
        assert (first.float() - second.float()).abs().max() < 12, 'slight colours alone'
        first, second = MaskPairAugment(size=48)(dict(frames=[ramp] * 2, masks=[mask] * 2))['masks']
        assert (first != second).any()


class TestPacking:
    def pack(self, max_objects: int = 2):
        masks = torch.zeros(2, 8, 8, dtype=torch.uint8)
        masks[0, :2], masks[0, 2:4], masks[0, 6:], masks[1, :3], masks[1, 3:] = 4, 9, 255, 9, 200
        frames = [torch.zeros(3, 8, 8, dtype=torch.uint8)] * 2
        results = dict(frames=frames, masks=list(masks), video_name='v', frame_names=['0', '1'])
        return PackMaskPair(max_objects)(results), masks

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


class TestCurriculum:
    def test_gaps_by_progress(self):
        hook = GapCurriculumHook()
        assert [hook.gap_at(p) for p in (0, 0.19, 0.2, 0.3, 0.4, 0.89, 0.9, 1)] == [10, 10, 15, 20, 25, 25, 5, 5]
        with pytest.raises(ValueError, match='expected 1 increasing shares for 2 gaps'):
            GapCurriculumHook(gaps=(5, 10), until=(0.5, 0.2))

    def test_it_reaches_all_parts(self, long_davis):
        part = dict(type='mmvidmae.MaskPairDataset', videos=long_davis)
        joined = ConcatDataset([part, {**part, 'frame_step': 5}])
        runner = SimpleNamespace(train_dataloader=SimpleNamespace(dataset=joined), iter=95, max_iters=100)
        GapCurriculumHook(gaps=(20, 3), until=(0.9,)).before_train_iter(runner, 0)
        assert [data.max_gap for data in joined.datasets] == [3, 5]
