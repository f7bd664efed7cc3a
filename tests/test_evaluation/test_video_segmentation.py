"""J and F against cases worked out by hand and a slow, literal account of the definition."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from parity import check_file

from mmvidmae.evaluation.functional import (
    SequenceScores,
    boundary_accuracy,
    boundary_tolerance,
    disk,
    mask_boundary,
    region_similarity,
    score_sequence,
    summarize_sequences,
    temporal_statistics,
)

TOOL = Path(__file__).parents[2] / 'tools' / 'analysis_tools' / 'check_parity.py'


def rectangle(size, top, left, bottom, right):
    mask = np.zeros(size, dtype=bool)
    mask[top:bottom, left:right] = True
    return mask


def slow_f(pred, gt, radius):
    """Every boundary pixel looks for one of the other mask within the radius."""

    def boundary(mask):
        height, width = mask.shape
        return np.array(
            [
                (y, x)
                for y in range(height)
                for x in range(width)
                for below, right in [(min(y + 1, height - 1), min(x + 1, width - 1))]
                if len({mask[y, x], mask[below, x], mask[y, right], mask[below, right]}) > 1
            ]
        ).reshape(-1, 2)

    def matched(points, others):
        return np.mean([(((others - point) ** 2).sum(1) <= radius**2).any() for point in points])

    pred, gt = boundary(pred), boundary(gt)
    if not len(pred) or not len(gt):
        return float(len(pred) == len(gt))
    precision, recall = matched(pred, gt), matched(gt, pred)
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def test_region_similarity_by_hand():
    gt = rectangle((6, 8), 1, 1, 3, 5)  # 8 pixels
    pred = rectangle((6, 8), 1, 3, 3, 7)  # 8 pixels, 4 of them shared
    assert region_similarity(pred, gt) == pytest.approx(4 / 12)
    void = rectangle((6, 8), 0, 5, 6, 8)  # hides 4 wrong pixels
    assert region_similarity(pred, gt, void) == pytest.approx(4 / 8)
    assert region_similarity(pred, gt, np.ones_like(gt)) == 1


@pytest.mark.parametrize('score', [region_similarity, boundary_accuracy])
def test_empty_masks(score):
    empty, some = np.zeros((9, 9), dtype=bool), rectangle((9, 9), 2, 2, 5, 5)
    stack = score(np.stack([empty, empty, some, some]), np.stack([empty, some, empty, some]))
    assert stack.tolist() == [1, 0, 0, 1]
    assert score(empty, empty).shape == ()


def test_boundary_lies_towards_the_origin():
    boundary = mask_boundary(rectangle((5, 5), 2, 2, 4, 4))
    assert boundary.astype(int).tolist() == [
        [0, 0, 0, 0, 0],
        [0, 1, 1, 1, 0],
        [0, 1, 0, 1, 0],
        [0, 1, 1, 1, 0],
        [0, 0, 0, 0, 0],
    ]
    assert not mask_boundary(np.ones((4, 5))).any()  # the image's border is no boundary
    assert mask_boundary([[1, 0, 0, 1]]).tolist() == [[True, False, True, False]]
    assert mask_boundary([[1], [0], [1]]).tolist() == [[True], [True], [False]]
    stack = np.stack([np.eye(5, dtype=bool), np.ones((5, 5), dtype=bool)])
    np.testing.assert_array_equal(mask_boundary(stack), [mask_boundary(mask) for mask in stack])


@pytest.mark.parametrize(
    ('size', 'expected'), [((480, 854), 8), ((480, 880), 9), ((1, 7), 1), ((1080, 1920), 18), ((48, 64), 1)]
)
def test_boundary_tolerance(size, expected):
    assert boundary_tolerance(size) == expected


def test_boundary_tolerance_in_pixels():
    assert boundary_tolerance((480, 854), 3) == 3
    for wrong in (-0.1, 1.5):
        with pytest.raises(ValueError, match='whole number of pixels'):
            boundary_tolerance((480, 854), wrong)


def test_disk():
    assert disk(0).tolist() == [[1]]
    assert disk(2).tolist() == [[0, 0, 1, 0, 0], [0, 1, 1, 1, 0], [1, 1, 1, 1, 1], [0, 1, 1, 1, 0], [0, 0, 1, 0, 0]]


@pytest.mark.parametrize('radius', [1, 2, 4])
@pytest.mark.parametrize('size', [(24, 31), (1, 9), (7, 1)])
def test_boundary_accuracy_is_the_definition(radius, size):
    rng = np.random.default_rng(radius)
    for density in (0.02, 0.5):
        pred, gt = rng.random((2, *size)) < density
        void = rng.random(size) < 0.1
        assert boundary_accuracy(pred, gt, bound_th=radius) == pytest.approx(slow_f(pred, gt, radius), abs=1e-12)
        with_void = slow_f(pred & ~void, gt & ~void, radius)
        assert boundary_accuracy(pred, gt, void, bound_th=radius) == pytest.approx(with_void, abs=1e-12)


def test_boundary_accuracy_within_and_beyond_the_tolerance():
    gt = rectangle((100, 100), 20, 20, 60, 60)
    assert boundary_accuracy(np.roll(gt, 2, axis=1), gt) == 1  # 0.008 of the diagonal: 2 px
    assert boundary_accuracy(np.roll(gt, 3, axis=1), gt) < 1
    assert boundary_accuracy(rectangle((100, 100), 80, 80, 90, 90), gt) == 0


def test_shapes_must_agree():
    masks = np.zeros((2, 4, 5))
    for score in (region_similarity, boundary_accuracy):
        with pytest.raises(ValueError, match=r'prediction \(4, 4\), ground truth \(4, 5\)'):
            score(masks[0, :, :4], masks[0])
        with pytest.raises(ValueError, match='void'):
            score(masks, masks, masks[0])


def label_maps():
    """Objects 1 and 2; 2 is not predicted in the last scored frame, and void lies beside 1."""
    gt = np.zeros((5, 20, 30), dtype=np.uint8)
    gt[:, 2:8, 2:8] = 1
    gt[:, 12:18, 12:24] = 2
    pred = gt.copy()
    pred[3][pred[3] == 2] = 0
    gt[:, 2:8, 8:10] = 255
    return pred, gt


def test_sequence():
    pred, gt = label_maps()
    pred[[0, -1]] = 255  # not scored, not looked at
    scores = score_sequence(pred, gt)
    for values in (scores.region, scores.boundary):
        assert values.tolist() == [[1, 1, 1], [1, 1, 0]]
    assert scores.ids == (1, 2)
    gt[2:][gt[2:] == 2] = 0
    assert score_sequence(pred, gt).region.tolist() == [[1, 1, 1], [1, 0, 1]]
    gt[1:, 0, 0] = 7  # not in frame 0: no object
    assert score_sequence(pred, gt).region.shape == (2, 3)


def test_ids_with_gaps_score_as_without():
    """Ids 1 and 200 of which nothing is predicted are 0 %: the ids between them are no objects."""
    pred, gt = label_maps()
    plain = score_sequence(pred, gt)
    for ids in (pred, gt):
        ids[ids == 2] = 200
    gaps = score_sequence(pred, gt)
    assert gaps.region.tolist() == plain.region.tolist()
    assert gaps.ids == (1, 200)
    nothing = score_sequence(np.zeros_like(pred), gt)
    assert nothing.region.tolist() == nothing.boundary.tolist() == [[0, 0, 0], [0, 0, 0]]
    with pytest.raises(ValueError, match='has id 100 in frame 1, but frame 0 has objects 1, 200; write 0'):
        score_sequence(np.full_like(pred, 100), gt)


def test_objects_given_later_count_from_then_on():
    pred, gt = label_maps()
    gt[0][gt[0] == 2] = 0
    pred[1][pred[1] == 2] = 0
    scores = score_sequence(pred, gt, later={2: 2})
    assert np.array_equal(scores.region, [[1, 1, 1], [np.nan, 1, 0]], equal_nan=True)
    summary = summarize_sequences([scores])
    assert summary['J-Mean'] == pytest.approx((1 + 1 / 2) / 2)
    assert summary['J-Recall'] == pytest.approx((1 + 1 / 2) / 2)
    never = score_sequence(pred, gt, later={2: 4})  # given in the last scored frame
    assert summarize_sequences([never])['J-Mean'] == 1


def test_sequence_errors():
    pred, gt = label_maps()
    with pytest.raises(ValueError, match='at least 3 frames'):
        score_sequence(pred[:2], gt[:2])
    with pytest.raises(ValueError, match='of one shape'):
        score_sequence(pred[:, :-1], gt)
    pred[2, 4, 5] = 255
    with pytest.raises(ValueError, match='id 255 in frame 2, but frame 0 has objects 1 to 2'):
        score_sequence(pred, gt)
    with pytest.raises(ValueError, match='no object'):
        score_sequence(pred, np.full_like(gt, 255))


def test_statistics():
    # quarters of 9 frames: 0-2 and 6-8
    statistics = temporal_statistics([1, 0.5, 0.9, 0, 0, 0, 0.3, 0.6, 0])
    assert statistics == pytest.approx((3.3 / 9, 3 / 9, 0.8 - 0.3))
    assert temporal_statistics([0.4]) == pytest.approx((0.4, 0, 0))
    mean, recall, decay = temporal_statistics([np.nan, 1, 1, 1, 1, 0.2, np.nan, 0.4])
    assert (mean, recall) == pytest.approx((4.6 / 6, 4 / 8))
    assert decay == pytest.approx(1 - 0.3)
    with pytest.raises(ValueError, match='at least one frame'):
        temporal_statistics([])


@pytest.mark.parametrize('length', [255, 256, 300, 1000])
def test_decay_of_long_videos(length):
    ramp = np.linspace(1, 0, length)
    assert temporal_statistics(ramp).decay == pytest.approx(0.75, abs=2 / length)


def test_summary_weighs_objects_equally():
    short, long = np.full((1, 2), 0.4), np.full((3, 50), 0.8)
    summary = summarize_sequences([SequenceScores(short, short / 2), SequenceScores(long, long)])
    assert list(summary) == ['J&F-Mean', 'J-Mean', 'J-Recall', 'J-Decay', 'F-Mean', 'F-Recall', 'F-Decay']
    assert summary['J-Mean'] == pytest.approx((0.4 + 3 * 0.8) / 4)
    assert summary['F-Mean'] == pytest.approx((0.2 + 3 * 0.8) / 4)
    assert summary['J&F-Mean'] == pytest.approx((summary['J-Mean'] + summary['F-Mean']) / 2)
    assert summary['J-Recall'] == pytest.approx(3 / 4)
    with pytest.raises(ValueError, match='no sequences'):
        summarize_sequences([])


def reference_file(path, **changes):
    """A file of the kind of jf_metric.npz with scores known by construction."""
    pred, gt = label_maps()
    scores = np.array([[1.0, 1, 1], [1, 1, 0]])
    per_object = {'M': [1, 2 / 3], 'R': [1, 2 / 3], 'D': [0, 1]}
    arrays = {'sequences': np.array(['toy']), 'object_names': np.array(['toy_1', 'toy_2'])}
    arrays |= {'toy/pred': pred, 'toy/gt': gt, 'toy/bound_pix': np.array(1), 'disk/1': disk(1)}
    for letter in 'JF':
        arrays[f'toy/{letter}_per_object_per_frame'] = scores
        arrays |= {f'{letter}_{name}_per_object': np.array(values) for name, values in per_object.items()}
    arrays['global_JF_J_Jr_Jd_F_Fr_Fd'] = np.array([5 / 6, 5 / 6, 5 / 6, 0.5, 5 / 6, 5 / 6, 0.5])
    mask = rectangle((4, 5), 1, 1, 3, 3)
    arrays |= {'seg2bmap/0/mask': mask, 'seg2bmap/0/boundary': mask_boundary(mask), 'seg2bmap/0/other0': mask}
    arrays |= {'seg2bmap/0/J0': np.array(1.0), 'seg2bmap/0/F0': np.array(1.0)}
    arrays |= {'stats/2/values': np.array([1.0, 0.0]), 'stats/2/mean_recall_decay': np.array([0.5, 0.5, 1.0])}
    np.savez(path, **(arrays | changes))
    return path


def test_parity_checker(tmp_path):
    path = reference_file(tmp_path / 'jf.npz')
    report = check_file(path)
    assert report.passed, '\n'.join(map(str, report.differences))
    assert subprocess.run([sys.executable, TOOL, path], capture_output=True, check=False).returncode == 0
    changes = {'stats/2/mean_recall_decay': np.array([0.5, 0.5, 0.9]), 'object_names': np.array(['toy_1', 'toy_3'])}
    report = check_file(reference_file(tmp_path / 'changed.npz', **changes))
    assert {difference.name for difference in report.differences if not difference.passed} == set(changes)
