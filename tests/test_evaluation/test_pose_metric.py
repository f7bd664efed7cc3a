import json

import numpy as np
import pytest
from mmengine.evaluator import Evaluator
from propagation_samples import PROTOCOL, pose_sample

from mmvidmae.evaluation.functional import joint_distances, keypoint_accuracy


def evaluate(samples, dataset_meta=None, **options):
    evaluator = Evaluator(dict(type='mmvidmae.PoseMetric', **options))
    evaluator.dataset_meta = dataset_meta
    for sample in samples:
        evaluator.process([sample])
    return evaluator.evaluate(len(samples))


def test_by_hand(tmp_path):
    """A person in a box of 60 x 80 pixels: its size is 0.6 * 100 = 60."""
    gt = np.array([[[10, 10], [70, 10], [10, 90]]] * 3, dtype=np.float64)
    pred = gt.copy()
    pred[0] += 500  # given, not scored
    pred[1, 0] += (3, 4)  # 5 pixels: within 0.1
    pred[1, 1] += (0, 9)  # 0.15
    pred[2, 2] += (27, 0)  # 0.45
    still = gt[:2]  # has one more predicted frame than annotated
    samples = [pose_sample('run/a', pred, gt), pose_sample('run/b', gt, still)]
    meta = dict(joint_names=['neck', 'belly', 'face'])
    result = evaluate(samples, meta, out_dir=str(tmp_path))
    share = [100, 200 / 3, 200 / 3]  # within 0.1: 3 frames a joint
    assert result == {
        'pose/PCK@0.1': pytest.approx(np.mean(share)),
        'pose/PCK@0.2': pytest.approx(np.mean([100, 100, 200 / 3])),
        'pose/PCK@0.3': pytest.approx(np.mean([100, 100, 200 / 3])),
        'pose/PCK@0.4': pytest.approx(np.mean([100, 100, 200 / 3])),
        'pose/PCK@0.5': 100,
    }
    content = json.loads((tmp_path / 'pose_scores.json').read_text())
    assert content['protocol'] == PROTOCOL
    assert content['input_size'] == '480x880'
    assert content['per_joint']['belly']['PCK@0.1'] == pytest.approx(200 / 3)
    assert content['per_sequence']['run/a']['PCK@0.1'] == pytest.approx(200 / 3)
    assert content['per_sequence']['run/b'] == {'frames': 1, **{f'PCK@0.{digit}': 100 for digit in range(1, 6)}}
    assert (tmp_path / 'pose_per_sequence.csv').read_text().startswith('sequence,frames,PCK@0.1,')
    assert (tmp_path / 'pose_per_joint.csv').read_text().splitlines()[1] == 'neck,100.0,100.0,100.0,100.0,100.0'


def test_same_as_the_functions_with_invisible_joints(tmp_path):
    rng = np.random.default_rng(0)
    samples, distances = [], []
    for index in range(4):
        gt = rng.uniform(0, 200, (6, 15, 2))
        pred = gt + rng.normal(0, 20, gt.shape)
        pred[rng.random((6, 15)) < 0.2] = -1
        if index == 3:
            pred[1:] = -1  # nothing was found
        samples.append(pose_sample(f'walk/{index}', pred, gt))
        distances.append(joint_distances(pred, gt))
    per_joint, means = keypoint_accuracy(np.concatenate(distances), (0.1, 0.25))
    assert 10 < means[0] < 90
    result = evaluate(samples, out_dir=str(tmp_path), thresholds=[0.1, 0.25])
    assert result == {'pose/PCK@0.1': means[0], 'pose/PCK@0.25': means[1]}
    content = json.loads((tmp_path / 'pose_scores.json').read_text())
    assert [row['PCK@0.25'] for row in content['per_joint'].values()] == per_joint[1].tolist()
    assert content['per_sequence']['walk/3'] == {'frames': 5, 'PCK@0.1': None, 'PCK@0.25': None}


def test_what_is_wrong_is_said():
    gt = np.ones((3, 4, 2))
    with pytest.raises(ValueError, match='video a: joints must be'):
        evaluate([pose_sample('a', gt[:2], gt)])
    with pytest.raises(ValueError, match='no joint is visible in any scored frame'):
        evaluate([pose_sample('a', np.full_like(gt, -1), gt)])
    with pytest.raises(ValueError, match='the dataset names 15 joint_names, but 4 were scored'):
        evaluate([pose_sample('a', np.arange(24.0).reshape(3, 4, 2), gt)], dict(joint_names=['x'] * 15))
