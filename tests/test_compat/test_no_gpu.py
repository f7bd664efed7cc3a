import pytest
import torch
from mmengine.config import Config

from mmvidmae.compat.no_gpu import adapt_to_cpu

pytestmark = pytest.mark.skipif(torch.cuda.is_available(), reason='for machines without a GPU')
# The launcher's part is tested by tests/test_tools/test_distributed.py.


def test_mixed_precision_becomes_float32():
    cfg = Config(dict(optim_wrapper=dict(type='AmpOptimWrapper', loss_scale='dynamic', dtype='bfloat16', optimizer={})))
    adapt_to_cpu(cfg)
    assert cfg.optim_wrapper == dict(type='OptimWrapper', optimizer={})


def test_other_configs_stay():
    cfg = Config(dict(optim_wrapper=dict(type='OptimWrapper', accumulative_counts=2), launcher='none'))
    before = cfg.to_dict()
    adapt_to_cpu(cfg)
    assert cfg.to_dict() == before


def test_config_without_training():
    adapt_to_cpu(Config(dict(model=dict(type='X'), optim_wrapper=None)))
