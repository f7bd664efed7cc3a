"""VOT's supervised experiment: overlaps and scores by hand, against mmtrack's formula, and through the evaluator."""

import csv

import numpy as np
import pytest
import torch
from mmengine.evaluator import Evaluator
from mmengine.structures import InstanceData

import mmvidmae.evaluation  # noqa: F401
from mmvidmae.evaluation.functional.vot import (
    SupervisedRun,
    accuracy_robustness,
    eao_curve,
    expected_average_overlap,
    run_accuracy,
)
from mmvidmae.structures.regions import FAILED, INITIALIZED, TRACKED, UNKNOWN, region_overlap

SIZE = (40, 30)


@pytest.mark.parametrize(
    ('first', 'second', 'overlap'),
    [
        ([2, 3, 10, 5], [2, 3, 10, 5], 1),
        ([2, 3, 10, 5], [7, 3, 10, 5], 25 / 75),
        ([2, 3, 10, 5], [20, 3, 10, 5], 0),
        ([2.5, 3, 10, 5], [2, 3, 10.4, 5], 1),  # rounded half to even
        ([-5, 3, 10, 5], [0, 3, 5, 5], 1),  # only what is inside the image counts
        ([2, 3, 11, 6], [2, 3, 12, 3, 12, 8, 2, 8], 1),  # a polygon covers its border
        ([0, 0, 7, 7], [3, 0, 6, 3, 3, 6, 0, 3], 25 / 49),  # a diamond of radius 3: 1 + 3 + 5 + 7 + 5 + 3 + 1 pixels
        ([50, 3, 10, 5], [52, 3, 10, 5], 0),  # both outside
        ([5, 5, 1, 1], [5, 5, 1, 1], 1),
    ],
)
def test_overlap_by_counting_pixels(first, second, overlap):
    assert region_overlap(first, second, SIZE) == region_overlap(second, first, SIZE) == pytest.approx(overlap)


def run(text: str) -> SupervisedRun:
    """A run from text: i started, f failed, . passed over, a digit for tracked with so many tenths of overlap."""
    states = {'i': INITIALIZED, 'f': FAILED, '.': UNKNOWN}
    return SupervisedRun(
        np.array([int(char) / 10 if char.isdigit() else 0 for char in text]),
        np.array([states.get(char, TRACKED) for char in text]),
    )


def test_accuracy_leaves_out_ten_frames_from_each_start():
    assert run_accuracy(run('i99999999950')) == pytest.approx(0.25)
    assert run_accuracy(run('i99999999936f....i999999999')) == pytest.approx(0.45)
    assert run_accuracy(run('i999')) == 0
    accuracy, robustness = accuracy_robustness([run('i9999999995' + '5' * 9), run('i8f....i8')])
    assert accuracy == pytest.approx(0.5 * 20 / 29), 'videos weigh by their frames'
    assert robustness == pytest.approx(100 / 29)


def test_eao_by_hand():
    """Pieces i8 (failed, so 0 from then on), i64 and i2: the mean of the mean overlaps at each length."""
    curve = eao_curve([run('i8f....i64'), run('i2')])
    assert curve == pytest.approx([0, (0.8 + 0.6 + 0.2) / 3, (0.4 + 0.5) / 2])
    assert expected_average_overlap([run('i8f....i64'), run('i2')], (1, 9)) == pytest.approx(curve[1:].mean())
    assert np.isnan(expected_average_overlap([run('i8')], (100, 356)))
    assert eao_curve([run('i99f..')]).tolist() == pytest.approx([0, 0.9, 0.9]), 'too late to start again'
    for wrong in ('99', '', 'i9i9'):
        with pytest.raises(ValueError, match='must begin with a start'):
            eao_curve([run(wrong)])
    with pytest.raises(ValueError, match='no runs'):
        eao_curve([])


def supervised_video(seed: int, length: int) -> tuple[np.ndarray, list[np.ndarray]]:
    """Targets (corners ``(T, 8)``) and a tracker's boxes (x1, y1, x2, y2) that drift, with VOT's codes."""
    rng = np.random.default_rng(seed)
    place = np.stack((100 + 60 * np.sin(np.arange(length) / 20), 80 + 40 * np.cos(np.arange(length) / 15)), 1)
    corners = np.array([[-15, -10], [12, -12], [16, 9], [-14, 11]])
    targets = (place[:, None] + corners).reshape(length, 8)
    boxes, start, drift = [], 0, np.zeros(2)
    for frame in range(length):
        if frame <= start:
            boxes.append(np.array([float(frame == start)]))
            drift = np.zeros(2)
            continue
        drift = drift + rng.normal(0, 3, 2)
        box = np.concatenate((place[frame] + drift - (15, 10), place[frame] + drift + (15, 10)))
        if region_overlap([*box[:2], 30, 20], targets[frame], (200, 160)) > 0:
            boxes.append(box)
        else:
            boxes.append(np.array([2.0]))
            start = frame + 5
    return targets, boxes


def samples(name: str, targets: np.ndarray, boxes: list[np.ndarray], number: int) -> list[dict]:
    return [
        dict(
            frame_id=frame,
            video_id=number,
            video_length=len(boxes),
            img_path=f'/data/{name}/color/{frame + 1:08d}.jpg',
            ori_shape=(160, 200),
            instances=[dict(bbox=target, visible=True)],
            pred_track_instances=InstanceData(bboxes=torch.tensor(box)[None], scores=torch.ones(1)),
        )
        for frame, (target, box) in enumerate(zip(targets, boxes))
    ]


def evaluate(videos: list[list[dict]], **metric) -> dict[str, float]:
    evaluator = Evaluator(metric)
    for sample in (sample for video in videos for sample in video):
        evaluator.process([sample])
    return evaluator.evaluate(sum(map(len, videos)))


def test_metric_agrees_with_mmtrack(tmp_path):
    """mmtrack has the toolkit's formulas of its own; the bridge gives it our overlaps."""
    pytest.importorskip('mmdet')
    from mmvidmae.compat.mmtrack import enable

    enable()
    videos = [
        samples(name, *supervised_video(seed, length), seed)
        for seed, (name, length) in enumerate([('ants', 150), ('bag', 90), ('car', 200)])
    ]
    ours = evaluate(videos, type='mmvidmae.VOTMetric', out_dir=str(tmp_path), eao_interval=(46, 291))
    theirs = evaluate(videos, type='mmtrack.SOTMetric', metric='VOT', metric_options=dict(dataset_type='vot2019'))
    assert ours['vot/failures'] == theirs['sot/num_fails'] > 2
    assert ours['vot/EAO'] == pytest.approx(100 * theirs['sot/eao'], abs=1e-4)
    assert ours['vot/accuracy'] == pytest.approx(100 * theirs['sot/accuracy'], abs=1e-9)
    assert ours['vot/robustness'] == pytest.approx(theirs['sot/robustness'], abs=1e-9)
    lines = (tmp_path / 'bag.txt').read_text().splitlines()
    assert len(lines) == 90
    assert lines[0] == '1'
    assert {len(line.split(',')) for line in lines} == {1, 4}
    rows = list(csv.DictReader((tmp_path / 'vot_per_sequence.csv').open()))
    assert sum(int(row['failures']) for row in rows) == ours['vot/failures']


def test_eao_of_short_videos_is_left_out():
    targets, boxes = supervised_video(0, 20)
    assert evaluate([samples('a', targets, boxes, 0)], type='mmvidmae.VOTMetric').keys() == {
        'vot/accuracy',
        'vot/robustness',
        'vot/failures',
    }


def test_the_mode_of_the_model_must_be_the_metrics():
    targets, boxes = supervised_video(0, 20)
    with pytest.raises(ValueError, match=r"test_cfg\.test_mode='VOT', which mmvidmae\.VOTMetric scores"):
        evaluate([samples('a', targets, boxes, 0)], type='mmvidmae.TrackingMetric')
    boxes[0] = boxes[1]
    with pytest.raises(ValueError, match=r"set model\.test_cfg\.test_mode='VOT'"):
        evaluate([samples('a', targets, boxes, 0)], type='mmvidmae.VOTMetric')
