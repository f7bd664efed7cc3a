from collections import Counter

import numpy as np
import pytest
import torch
from torchvision.transforms import InterpolationMode, RandomResizedCrop
from torchvision.transforms.v2 import functional as F

from mmvidmae.datasets import (
    FrameCutOut,
    LoadFramePairs,
    PackPairs,
    PairCenterCrop,
    PairRandomFlip,
    PairRandomResizedCrop,
    PairResize,
    PictureViews,
    SampleFrames,
    VideoFileReader,
    VideoReadError,
    pair_collate,
)
from mmvidmae.datasets.transforms.geometry import draw_box
from mmvidmae.registry import TRANSFORMS


class Clip:
    """A reader whose frames are noise, with their number in the first pixel."""

    def __init__(self, num_frames, height=48, width=64):
        self.frames = np.random.default_rng(0).integers(0, 255, (num_frames, height, width, 3), np.uint8)
        self.frames[:, 0, 0] = np.arange(num_frames)[:, None]
        self.calls = []

    def __len__(self):
        return len(self.frames)

    def get_batch(self, indices):
        self.calls.append(list(indices))
        return self.frames[indices]


def sample(num_frames, gap, draw_first, num_pairs=1, seed=0, **kwargs):
    results = dict(reader=range(num_frames), num_pairs=num_pairs, rng=np.random.default_rng(seed))
    frame_ids = SampleFrames(gap, draw_first, **kwargs)(results)['frame_ids']
    assert frame_ids.shape == (num_pairs, 2)
    return frame_ids


def assert_law(pairs, law):
    """Compares draws with probabilities by a chi-square statistic, whose mean is the number of cells."""
    counts = Counter(map(tuple, pairs.tolist()))
    assert set(counts) <= set(law)
    assert sum(law.values()) == pytest.approx(1)
    statistic = sum((counts[pair] - len(pairs) * p) ** 2 / (len(pairs) * p) for pair, p in law.items())
    assert statistic < len(law) + 5 * np.sqrt(2 * len(law))


class TestSampleFramePairs:
    def test_dropmae_law(self):
        # randint[0, n-2], then randint[start+1, min(n, start+gap)-1]: reference C
        n, hi = 9, 5
        law = {
            (s, e): 1 / (n - 1) / (min(n - 1, s + hi) - s)
            for s in range(n - 1)
            for e in range(s + 1, min(n - 1, s + hi) + 1)
        }
        assert_law(sample(n, (1, hi), 'start', 20000), law)

    def test_siammae_law(self):
        n, lo, hi = 9, 2, 5
        law = {(s, s + g): 1 / (hi - lo + 1) / (n - g) for g in range(lo, hi + 1) for s in range(n - g)}
        assert_law(sample(n, (lo, hi), 'gap', 20000), law)

    @pytest.mark.parametrize('draw_first', ['start', 'gap'])
    @pytest.mark.parametrize(
        ('num_frames', 'pairs'),
        [
            (1, {(0, 0)}),
            (2, {(0, 1)}),
            (4, {(0, 3)}),
            (5, {(0, 4)}),
            (6, {(0, 4), (1, 5), (0, 5)}),
            (7, {(0, 4), (1, 5), (2, 6), (0, 5), (1, 6)}),  # the longest gap is 5
        ],
    )
    def test_short_clips(self, draw_first, num_frames, pairs):
        assert set(map(tuple, sample(num_frames, (4, 5), draw_first, 300).tolist())) == pairs

    @pytest.mark.parametrize('draw_first', ['start', 'gap'])
    def test_whole_range_of_a_long_clip(self, draw_first):
        pairs = sample(300, (4, 48), draw_first, 20000)
        gaps = pairs[:, 1] - pairs[:, 0]
        assert (gaps.min(), gaps.max()) == (4, 48)
        assert (pairs[:, 0].min(), pairs[:, 1].max()) == (0, 299)

    @pytest.mark.parametrize('gap', [(5, 4), (-1, 4)])
    def test_bad_gap(self, gap):
        with pytest.raises(ValueError, match='gap must be'):
            SampleFrames(gap, 'gap')

    @pytest.mark.parametrize('num_frames', [10, 57, 100])
    def test_spans_hold_out_the_rest(self, num_frames):
        training = sample(num_frames, (1, 4), 'gap', 2000, span=(0, 0.7))
        held_out = sample(num_frames, (1, 4), 'gap', 2000, span=(0.7, 1))
        assert training.min() == 0
        assert training.max() + 1 == held_out.min() == int(0.7 * num_frames)
        assert held_out.max() == num_frames - 1

    @pytest.mark.parametrize('span', [(0, 0.1), (0.5, 0.6), (0.9, 1)])
    def test_span_of_one_frame(self, span):
        assert sample(1, (1, 4), 'start', span=span).tolist() == [[0, 0]]

    @pytest.mark.parametrize('span', [(0.5, 0.5), (-0.1, 1), (0, 1.1)])
    def test_bad_span(self, span):
        with pytest.raises(ValueError, match='span must be'):
            SampleFrames((1, 49), 'gap', span)

    def test_bad_order(self):
        with pytest.raises(ValueError, match='draw_first must be'):
            SampleFrames((1, 49), 'end')


def sample_clips(length, num_clips=1, seed=0, epoch=0, sample_idx=0, **kwargs):
    results = dict(
        reader=range(length),
        num_pairs=num_clips,
        rng=np.random.default_rng(seed),
        epoch=epoch,
        sample_idx=sample_idx,
    )
    return SampleFrames(**kwargs)(results)['frame_ids']


RSP = dict(gap=(2, 4), draw_first='room', short='different')
CATMAE = dict(gap=(1, 2), draw_first='room', num_frames=3, spacing='own', short='different')
TOBO = dict(gap=(1, 4), draw_first='room', short='gap')
TCORE = dict(gap=(0.15, 0.25), draw_first='middle', num_frames=3, middle=(0.3, 0.7), short='same')
COSETTLE = dict(gap=(0.15, 0.15), draw_first='gap', first=1, short='independent')
RVM = dict(gap=(2, 5), draw_first='gap', num_frames=5, num_sources=3)


class TestSampleFrames:
    def test_one_transform_of_two_names(self):
        pair, clip = (TRANSFORMS.get(f'mmvidmae.{name}') for name in ('SampleFramePairs', 'SampleFrames'))
        assert pair is clip

    def test_room_law(self):
        n = 8  # starts 0..3, all gaps
        law = {(s, s + g): 1 / 4 / 3 for s in range(n - 4) for g in (2, 3, 4)}
        assert_law(sample_clips(n, 8000, **RSP), law)

    def test_different_frames_of_a_short_video(self):
        law = {(a, b): 1 / 6 for b in range(4) for a in range(b)}
        assert_law(sample_clips(4, 4000, **RSP), law)

    def test_tobo_law_of_a_short_video(self):
        n = 4
        law = {(s, s + g): 1 / 3 / (n - g) for g in (1, 2, 3) for s in range(n - g)}
        assert_law(sample_clips(n, 6000, **TOBO), law)

    def test_catmae_law(self):
        law = {(s, s + a, s + a + b): 1 / 2 / 4 for s in (0, 1) for a in (1, 2) for b in (1, 2)}
        assert_law(sample_clips(6, 6000, **CATMAE), law)

    def test_tcore_law(self):
        n = 20  # middle 6..13, at a distance of 3 to 5 on both sides
        law = {(m - a, m, m + b): 1 / 8 / 9 for m in range(6, 14) for a in (3, 4, 5) for b in (3, 4, 5)}
        assert_law(sample_clips(n, 20000, **TCORE), law)
        assert all(len({*frames}) == 1 for frames in sample_clips(3, 50, **TCORE).tolist())

    def test_cosettle_law(self):
        assert_law(sample_clips(20, 6000, **COSETTLE), {(s, s + 3): 1 / 16 for s in range(1, 17)})
        assert_law(sample_clips(3, 4000, **COSETTLE), {(a, b): 1 / 9 for a in range(3) for b in range(3)})

    def test_sources_in_a_row_and_different_targets(self):
        gaps = [(a, b) for b in range(2, 6) for a in range(2, b)]
        clips = sample_clips(40, 6000, **RVM)
        assert (clips[:, :3] - clips[:, :1] == np.arange(3)).all()
        assert_law(clips[:, 3:] - clips[:, 2:3], dict.fromkeys(gaps, 1 / len(gaps)))

    def test_equal_gaps(self):
        clips = sample_clips(9, 2000, gap=(1, 9), draw_first='gap', num_frames=3, spacing='equal')
        assert (np.diff(clips, 2) == 0).all()
        assert np.unique(np.diff(clips)).tolist() == [1, 2, 3, 4]

    @pytest.mark.parametrize('law', [RSP, CATMAE, TOBO, TCORE, COSETTLE, RVM, dict(RVM, draw_first='start')])
    def test_every_length(self, law):
        for num_frames in range(1, 40):
            clips = sample_clips(num_frames, 50, **law)
            assert clips.shape == (50, law.get('num_frames', 2))
            assert clips.min() >= 0
            assert clips.max() < num_frames
            if law is not COSETTLE:
                assert (np.diff(clips) >= 0).all()
            if law is RVM and num_frames < 6:
                assert (clips == np.linspace(0, num_frames - 1, 5).round()).all()

    def test_reversal_by_probability(self):
        forward = sample_clips(50, 2000, **CATMAE)
        clips = sample_clips(50, 2000, reverse=0.25, **CATMAE)
        backward = clips[:, 0] > clips[:, 2]
        assert 0.2 < backward.mean() < 0.3
        assert np.array_equal(np.where(backward[:, None], clips[:, ::-1], clips), forward), 'same frames, other order'

    def test_reversal_as_catmae_alternates(self):
        def backward(num_clips, sample_idx):
            clips = sample_clips(50, num_clips, sample_idx=sample_idx, reverse='alternate', **CATMAE)
            return (clips[:, 0] > clips[:, 2]).tolist()

        assert backward(2, 0) == backward(2, 7) == [False, True]
        assert (backward(1, 4), backward(1, 7)) == ([False], [True])

    def test_largest_gap_follows_the_epoch(self):
        law = dict(gap=(1, 4), draw_first='gap', gap_schedule=[(2, 10), (4, 20)])
        largest = [np.diff(sample_clips(100, 2000, epoch=epoch, **law)).max() for epoch in (0, 2, 3, 4, 9)]
        assert largest == [10, 10, 15, 20, 20]

    @pytest.mark.parametrize(
        'wrong',
        [
            dict(num_frames=1),
            dict(num_sources=2),
            dict(num_frames=3, num_sources=2, spacing='own'),
            dict(spacing='even'),
            dict(short='none'),
            dict(first=1, draw_first='start'),
            dict(middle=(0.3, 0.7)),
            dict(gap=(0.3, 0.4), num_frames=3, draw_first='middle', middle=(0.2, 0.7)),
            dict(reverse=1.5),
            dict(gap=(4, 5), num_frames=4),
            dict(gap=(0.1, 0.2), num_frames=3),
            dict(gap_schedule=[(4, 9), (2, 9)]),
            dict(gap_schedule=[(0, 3)]),
        ],
    )
    def test_bad_arguments(self, wrong):
        with pytest.raises(ValueError, match='SampleFrames: '):
            SampleFrames(**{**dict(gap=(4, 48), draw_first='gap'), **wrong})

    def test_one_frame_is_uniform(self):
        assert_law(sample_clips(5, 3000, num_frames=1), {(frame,): 1 / 5 for frame in range(5)})
        with pytest.raises(ValueError, match=r'gap must be .* for two frames or more'):
            SampleFrames()


class TestPictureViews:
    def views(self, num_pictures=1, seed=0, **kwargs):
        pictures = loaded(num_pairs=num_pictures, same=False)['frames'][:, :1]
        results = dict(frames=pictures, rng=np.random.default_rng(seed))
        return pictures, PictureViews(**{**dict(size=32, scale=[(0.1, 0.5), (0.3, 0.6)]), **kwargs})(results)['frames']

    def test_the_second_view_lies_within_the_first_after_its_resize(self):
        transform = PictureViews((24, 32), [(0.1, 0.5), (0.3, 0.6)], prob=0)
        picture, results = loaded()['frames'][0, 0], dict(frames=loaded()['frames'][:1, :1])
        (outer, inner), _ = transform.draw(picture, np.random.default_rng(3))
        assert inner[0] + inner[2] <= 24
        assert inner[1] + inner[3] <= 32
        first, second = transform(dict(results, rng=np.random.default_rng(3)))['frames'][0]
        again = [
            F.resized_crop(source, *box, [24, 32], InterpolationMode.BILINEAR, antialias=True)
            for source, box in ((picture, outer), (first, inner))
        ]
        assert torch.equal(first, again[0])
        assert torch.equal(second, again[1])

    def test_flips(self):
        never, always = (self.views(prob=prob)[1] for prob in (0, 1))
        assert torch.equal(never.flip(-1), always), 'the second view is cut before the flip of the first'
        flips = [
            (self.views(seed=seed)[1] != self.views(seed=seed, prob=0)[1]).flatten(2).any(-1) for seed in range(40)
        ]
        assert 0.3 < (torch.cat(flips)[:, 0] != torch.cat(flips)[:, 1]).float().mean() < 0.7, 'own coins'
        flips = [
            (self.views(seed=seed, shared_flip=True)[1] != self.views(seed=seed, prob=0, shared_flip=True)[1])
            .flatten(2)
            .any(-1)
            for seed in range(40)
        ]
        assert (torch.cat(flips)[:, 0] == torch.cat(flips)[:, 1]).all()

    def test_kinds_of_crops(self):
        pictures, nested = self.views(num_pictures=3)
        assert nested.shape == (3, 2, 3, 32, 32)
        assert torch.equal(self.views(num_pictures=3, reverse=True)[1], nested.flip(1))
        _, independent = self.views(crops='independent', scale=[(1, 1)] * 3, ratio=(4 / 3, 4 / 3), prob=0)
        whole = F.resize(pictures[0], [32, 32], InterpolationMode.BILINEAR, antialias=True)
        assert torch.equal(independent[0], whole.expand(3, -1, -1, -1))
        _, same = self.views(crops='same', scale=[(0.1, 0.5)] * 2)
        assert torch.equal(same[:, 0], same[:, 1])

    @pytest.mark.parametrize(
        'wrong', [dict(scale=[]), dict(scale=[(0.5, 0.4)]), dict(crops='both'), dict(prob=2), dict(crops='same')]
    )
    def test_bad_arguments(self, wrong):
        with pytest.raises(ValueError, match='PictureViews: '):
            self.views(**wrong)

    def test_a_clip_of_two_frames_is_refused(self):
        with pytest.raises(ValueError, match='one picture, got clips of 2 frames; put'):
            PictureViews(32, [(0.1, 1)])(loaded())


class TestFrameCutOut:
    def test_only_the_past_frame_of_each_clip(self):
        results = loaded(num_pairs=3, same=False)
        original = results['frames'].clone()
        frames = FrameCutOut((0.1, 0.3))(dict(results))['frames']
        assert torch.equal(results['frames'], original), 'the input is not changed in place'
        assert torch.equal(frames[:, 1], original[:, 1])
        hidden = (frames[:, 0] != original[:, 0]).any(1)
        assert ((hidden.float().mean((1, 2)) > 0.08) & (hidden.float().mean((1, 2)) < 0.32)).all()
        assert not torch.equal(hidden[0], hidden[1])
        assert {tuple(color) for color in frames[0, 0, :, hidden[0]].T.tolist()} == {(124, 116, 104)}

    def test_probability(self):
        results = loaded(num_pairs=200)
        cut = (FrameCutOut((0.1, 0.3), prob=0.5)(dict(results))['frames'] != results['frames']).flatten(2).any(-1)
        assert 0.4 < cut[:, 0].float().mean() < 0.6

    @pytest.mark.parametrize('wrong', [dict(scale=(0, 0.5)), dict(prob=2), dict(color=(0, 0)), dict(frames=(2,))])
    def test_bad_arguments(self, wrong):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            FrameCutOut(**{**dict(scale=(0.1, 0.3)), **wrong})(loaded())


class TestMoreFrames:
    def clip(self):
        return dict(LoadFramePairs()(dict(reader=Clip(20), frame_ids=np.array([[9, 17, 18], [3, 9, 10]]))))

    def test_load(self):
        frames = self.clip()['frames']
        assert frames.shape == (2, 3, 3, 48, 64)
        assert frames[..., 0, 0, 0].tolist() == [[9, 17, 18], [3, 9, 10]]

    @pytest.mark.parametrize('shared', [True, False])
    def test_crop_and_flip_of_all_frames(self, shared):
        results = loaded(num_pairs=1)
        results['frames'] = results['frames'][:, :1].expand(40, 3, -1, -1, -1)
        cropped = PairRandomResizedCrop(32, (0.2, 0.8), shared=shared)(dict(results))['frames']
        flipped = PairRandomFlip(shared=shared)(dict(results))['frames']
        for frames in (cropped, flipped):
            same = (frames == frames[:, :1]).flatten(2).all(-1).all(1).float().mean()
            assert same == 1 if shared else same < 0.6

    def test_pack(self):
        results = self.clip()
        results.update(frame_ids=np.array([[9, 17, 18], [3, 9, 10]]), video_path='a', rng=np.random.default_rng(0))
        item = PackPairs()(results)
        assert item['inputs'].shape == (2, 3, 3, 48, 64)
        assert item['data_samples'][1].frame_ids == (3, 9, 10)
        assert pair_collate([item, item])['inputs'].shape == (4, 3, 3, 48, 64)


class TestLoadFramePairs:
    def test_reads_all_pairs_at_once(self):
        clip = Clip(20)
        frames = LoadFramePairs()(dict(reader=clip, frame_ids=np.array([[9, 17], [3, 9]])))['frames']
        assert clip.calls == [[9, 17, 3, 9]]
        assert frames.shape == (2, 2, 3, 48, 64)
        assert frames[..., 0, 0, 0].tolist() == [[9, 17], [3, 9]]
        assert frames.dtype == torch.uint8
        assert frames[0].is_contiguous(memory_format=torch.channels_last)
        assert np.array_equal(frames[0, 1].permute(1, 2, 0), clip.frames[17])

    def test_one_frame_twice(self):
        frames = LoadFramePairs()(dict(reader=Clip(1), frame_ids=np.array([[0, 0]])))['frames']
        assert torch.equal(frames[0, 0], frames[0, 1])


def loaded(num_pairs=2, same=True, height=48, width=64, seed=0):
    """Results as ``LoadFramePairs`` leaves them, with one picture in all frames or one in each."""
    shape = (1 if same else num_pairs * 2, height, width, 3)
    picture = torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))
    frames = picture.expand(num_pairs * 2, -1, -1, -1).contiguous().unflatten(0, (num_pairs, 2)).permute(0, 1, 4, 2, 3)
    return dict(frames=frames, rng=np.random.default_rng(seed))


class TestPairRandomResizedCrop:
    @pytest.mark.parametrize('shared', [True, False])
    def test_which_frames_share_a_box(self, shared):
        frames = PairRandomResizedCrop(32, (0.2, 0.8), shared=shared)(loaded())['frames']
        assert frames.shape == (2, 2, 3, 32, 32)
        assert torch.equal(frames[0, 0], frames[0, 1]) == shared
        assert not torch.equal(frames[0, 0], frames[1, 0]), 'pairs never share'

    @pytest.mark.parametrize('interpolation', ['bicubic', 'bilinear'])
    @pytest.mark.parametrize('size', [32, (24, 40)])
    def test_numbers_are_those_of_torchvision(self, interpolation, size):
        results = loaded(same=False)
        frames = results['frames'].contiguous()
        transform = PairRandomResizedCrop(size, (0.2, 1), shared=False, interpolation=interpolation)
        rng = np.random.default_rng(0)
        boxes = [draw_box(48, 64, transform.scale, transform.ratio, rng) for _ in range(4)]
        height, width = (size, size) if isinstance(size, int) else size
        expected = [
            F.resized_crop(frame, *box, [height, width], InterpolationMode(interpolation), antialias=True)
            for frame, box in zip(frames.flatten(0, 1), boxes, strict=True)
        ]
        difference = (transform(results)['frames'].flatten(0, 1).int() - torch.stack(expected).int()).abs()
        assert difference.max() <= 1, 'channels last and channels first may round differently'

    def test_boxes_are_distributed_as_torchvision_draws_them(self):
        transform = PairRandomResizedCrop(32, (0.2, 1), shared=True)
        rng = np.random.default_rng(0)
        torch.manual_seed(0)
        image = torch.zeros(3, 48, 64)
        ours = np.array([draw_box(48, 64, transform.scale, transform.ratio, rng) for _ in range(8000)])
        theirs = np.array([RandomResizedCrop.get_params(image, [0.2, 1], [3 / 4, 4 / 3]) for _ in range(8000)])
        for moment in (np.mean, np.std):
            assert moment(ours, 0) == pytest.approx(moment(theirs, 0), rel=0.06)
        assert np.array_equal(ours.min(0)[:2], [0, 0])
        assert (ours[:, 0] + ours[:, 2]).max() == 48
        assert (ours[:, 1] + ours[:, 3]).max() == 64

    @pytest.mark.parametrize(('height', 'width'), [(10, 200), (200, 10), (48, 64)])
    def test_falls_back_to_the_center(self, height, width):
        # A share of the area larger than any box of an allowed ratio can have: no draw fits.
        ratio = (0.5, 0.6) if (height, width) == (48, 64) else (3 / 4, 4 / 3)
        box = draw_box(height, width, (1, 1), ratio, np.random.default_rng(0))
        assert box == RandomResizedCrop.get_params(torch.zeros(3, height, width), [1, 1], list(ratio))

    def test_one_pixel(self):
        frames = PairRandomResizedCrop(8, (0.2, 1), shared=True)(loaded(height=1, width=1))['frames']
        assert frames.shape == (2, 2, 3, 8, 8)

    @pytest.mark.parametrize('wrong', [dict(scale=(0, 1)), dict(scale=(0.8, 0.2)), dict(ratio=(2, 1)), dict(size=0)])
    def test_bad_arguments(self, wrong):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            PairRandomResizedCrop(**{**dict(size=32, scale=(0.2, 1), shared=True), **wrong})


class TestPairRandomFlip:
    @pytest.mark.parametrize('shared', [True, False])
    def test_coins(self, shared):
        results = loaded(num_pairs=400)
        original = results['frames'].clone()
        frames = PairRandomFlip(shared=shared)(results)['frames']
        flipped = (frames == original.flip(-1)).flatten(2).all(-1)
        assert torch.equal(flipped, ~(frames == original).flatten(2).all(-1))
        assert 0.4 < flipped.float().mean() < 0.6
        agree = (flipped[:, 0] == flipped[:, 1]).float().mean()
        assert agree == 1 if shared else 0.4 < agree < 0.6

    @pytest.mark.parametrize('prob', [0, 1])
    def test_certain(self, prob):
        results = loaded()
        original = results['frames'].clone()
        frames = PairRandomFlip(shared=True, prob=prob)(results)['frames']
        assert torch.equal(frames, original.flip(-1) if prob else original)

    def test_bad_probability(self):
        with pytest.raises(ValueError, match='prob'):
            PairRandomFlip(shared=True, prob=2)


class TestResizeAndCenterCrop:
    @pytest.mark.parametrize(
        ('size', 'resized'),
        [(24, (24, 32)), (96, (96, 128)), ((24, 40), (30, 40)), ((24, 32), (24, 32)), ((40, 24), (40, 53))],
    )
    def test_covers_then_cuts(self, size, resized):
        results = PairResize(size)(loaded())
        assert results['frames'].shape == (2, 2, 3, *resized)
        expected = F.center_crop(results['frames'], [size, size] if isinstance(size, int) else list(size))
        assert torch.equal(PairCenterCrop(size)(results)['frames'], expected)

    @pytest.mark.parametrize('shape', [(1080, 1920), (359, 202), (113, 640), (33, 32)])
    def test_any_frame_covers(self, shape):
        results = dict(frames=torch.zeros(1, 2, 3, *shape, dtype=torch.uint8))
        assert PairCenterCrop(32)(PairResize(32)(results))['frames'].shape[-2:] == (32, 32)

    def test_too_small(self):
        with pytest.raises(ValueError, match='put PairResize before it'):
            PairCenterCrop(56)(loaded())


class TestPackAndCollate:
    def item(self, name, skipped=()):
        results = loaded(num_pairs=2, same=False, seed=len(name))
        results.update(frame_ids=np.array([[1, 5], [2, 9]]), video_path=name, skipped=list(skipped))
        return PackPairs()(results)

    def test_pack(self):
        bad = ('bad.mp4', 'the file is empty')
        item = self.item('a.mp4', [bad])
        assert item['inputs'].shape == (2, 2, 3, 48, 64)
        assert item['inputs'].is_contiguous()
        first, second = item['data_samples']
        assert (first.video_path, first.frame_ids, second.frame_ids) == ('a.mp4', (1, 5), (2, 9))
        assert 0 <= first.seed < 2**63
        assert first.seed != second.seed
        assert first.skipped == [bad]
        assert 'skipped' not in second
        assert 'skipped' not in self.item('a.mp4')['data_samples'][0]

    def test_collate_puts_first_pairs_first(self):
        items = [self.item('a.mp4'), self.item('bb.mp4'), self.item('ccc.mp4')]
        batch = pair_collate(items)
        assert list(batch) == ['inputs', 'data_samples']
        assert batch['inputs'].shape == (6, 2, 3, 48, 64)
        names = [(sample.video_path, sample.frame_ids) for sample in batch['data_samples']]
        paths = ['a.mp4', 'bb.mp4', 'ccc.mp4']
        assert names == [(path, (1, 5)) for path in paths] + [(path, (2, 9)) for path in paths]
        for index, item in enumerate(items):
            assert torch.equal(batch['inputs'][index], item['inputs'][0])
            assert torch.equal(batch['inputs'][3 + index], item['inputs'][1])


def test_a_decoding_error_passes_through(bad_clips):
    reader = VideoFileReader(str(bad_clips / 'damaged.mp4'))
    with pytest.raises(VideoReadError):
        LoadFramePairs()(dict(reader=reader, frame_ids=np.array([[38, 39]])))
