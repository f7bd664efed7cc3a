"""Views of T-CoRe: what they show, and what their draws depend on."""

import numpy as np
import pytest
import torch

from mmvidmae.datasets import PackPairs, SandwichViews, pair_collate

PLAIN = dict(jitter_prob=0.0, gray_prob=0.0, blur_prob=(0.0,) * 3, solarize_prob=(0.0,) * 3)


def clips(num: int = 1, num_frames: int = 3) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(256, (num, num_frames, 3, 40, 60), dtype=torch.uint8, generator=generator)


def make(frames: torch.Tensor, seed: int = 0, **options) -> dict:
    views = SandwichViews(size=32, local_size=16, num_local=3, **options)
    return views(dict(frames=frames, rng=np.random.default_rng(seed)))


def test_shapes_and_repeatable_draws():
    results = make(clips(2))
    assert results['frames'].shape == (2, 3, 2, 3, 32, 32)
    assert results['local_crops'].shape == (2, 3, 3, 16, 16)
    assert results['frames'].dtype == results['local_crops'].dtype == torch.uint8
    again, other = make(clips(2)), make(clips(2), seed=1)
    for name in ('frames', 'local_crops'):
        assert torch.equal(again[name], results[name])
        assert not torch.equal(other[name], results[name])


def test_past_and_future_crops_are_the_center_and_the_current_ones_are_random():
    frames = clips()
    (past, current, future) = make(frames, **PLAIN)['frames'][0]
    assert torch.equal(past[0], past[1])
    assert torch.equal(future[0], future[1])
    assert not torch.equal(current[0], current[1])
    assert not torch.equal(past[0], future[0])
    left, right = frames.clone(), frames.clone()
    left[..., :3] = 0  # 40 x 60 at most 4 / 3 wide: 53 columns from column 3
    right[..., 30] = 0
    assert torch.equal(make(left, **PLAIN)['frames'][0, 0], past)
    assert not torch.equal(make(right, **PLAIN)['frames'][0, 0], past)


def test_colors_differ_between_crops_of_one_box():
    past, _, future = make(clips())['frames'][0]
    assert not torch.equal(past[0], past[1])
    assert not torch.equal(future[0], future[1])


@pytest.mark.parametrize(
    ('option', 'effect'), [('gray_prob', 'gray'), ('solarize_prob', 'solar'), ('blur_prob', 'blur')]
)
def test_each_effect_at_probability_1(option, effect):
    value = 1.0 if option == 'gray_prob' else (1.0, 0.0, 0.0)
    plain, changed = make(clips(), **PLAIN), make(clips(), **{**PLAIN, option: value})
    first, crops = plain['frames'][0, 0, 0].float(), changed['frames'][0, 0].float()
    if effect == 'gray':
        assert torch.equal(crops[0, 0], crops[0, 2])
        return
    assert torch.equal(crops[1], plain['frames'][0, 0, 1].float())  # only the first global crop
    if effect == 'solar':
        assert crops[0].max() < 128
    else:  # how much is drawn
        blurred = [make(clips(), seed, **{**PLAIN, option: value})['frames'][0, 0, 0].float() for seed in range(4)]
        assert min(crop.std() for crop in blurred) < 0.8 * first.std()


def test_a_picture_is_all_three_frames():
    past, _, future = make(clips(num_frames=1), **PLAIN)['frames'][0]
    assert torch.equal(past, future)


def test_packing_and_collation():
    item = dict(make(clips(2)), frame_ids=np.array([[1, 2, 3], [4, 5, 6]]), video_path='a.mp4')
    packed = PackPairs()(item)
    batch = pair_collate([packed, packed])
    frames, local = batch['inputs']
    assert frames.shape == (4, 3, 2, 3, 32, 32)
    assert local.shape == (4, 3, 3, 16, 16)
    assert [sample.frame_ids for sample in batch['data_samples']] == [(1, 2, 3)] * 2 + [(4, 5, 6)] * 2
    assert torch.equal(local[0], local[1])


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(scale=(0.5, 0.2)), 'scale must be'),
        (dict(blur_prob=(0.0, 2.0, 0.0)), 'blur_prob must lie between 0 and 1'),
        (dict(blur_prob=(0.0, 0.5)), 'blur_prob must lie between 0 and 1'),
        (dict(jitter=(0.4, 0.4, 0.2, 0.6)), 'jitter must be four changes'),
        (dict(num_local=-1), 'num_local must be a whole number'),
    ],
)
def test_bad_values_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        SandwichViews(**options)


def test_pairs_are_refused():
    with pytest.raises(ValueError, match='set num_frames=3 of SampleFrames'):
        make(clips(num_frames=2))
