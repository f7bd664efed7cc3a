import pytest
import torch
from mmengine.evaluator import Evaluator
from mmpretrain.structures import DataSample

from mmvidmae.evaluation import ReconstructionMetric


def sample(error, constant_error):
    result = DataSample()
    result.set_field(torch.tensor(error), 'error')
    result.set_field(torch.tensor(constant_error), 'constant_error')
    return result


def test_means_and_ratio():
    evaluator = Evaluator(dict(type='mmvidmae.ReconstructionMetric'))
    evaluator.process([sample(0.2, 1.0), sample(0.4, 1.0)])
    evaluator.process([sample(0.6, 0.7)])
    assert evaluator.evaluate(3) == {
        'reconstruction/mse': pytest.approx(0.4),
        'reconstruction/constant_mse': pytest.approx(0.9),
        'reconstruction/ratio': pytest.approx(0.4 / 0.9),
    }


def test_every_pair_of_a_video_counts():
    metric = ReconstructionMetric()
    metric.process({}, [sample(error, 1.0).to_dict() for error in (0.0, 0.0, 1.0, 1.0)])
    assert metric.evaluate(size=2)['reconstruction/mse'] == 0.5


def test_padding_of_the_last_batch_does_not_count():
    metric = ReconstructionMetric()
    metric.process({}, [sample(error, 1.0).to_dict() for error in (0.0, 0.0, 0.0, 1.0)])
    assert metric.evaluate(size=3)['reconstruction/mse'] == 0.0
