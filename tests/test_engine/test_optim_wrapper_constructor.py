"""The log says in a few lines which parameters train with which options."""

import logging

import pytest
import torch
from mmengine.logging import MMLogger
from mmengine.optim import build_optim_wrapper
from torch import nn

import mmvidmae  # noqa: F401


@pytest.fixture
def lines():
    """What goes to MMEngine's current logger."""
    logger, found = MMLogger.get_instance('parameters'), []
    handler = logging.Handler(logging.INFO)
    handler.emit = lambda record: found.append(record.getMessage())
    logger.addHandler(handler)
    yield found
    logger.removeHandler(handler)


def build(constructor: str, **paramwise_cfg):
    torch.manual_seed(0)
    layers = nn.Sequential(*(nn.Linear(4, 4) for _ in range(6)))
    model = nn.ModuleDict(dict(backbone=layers, head=nn.Linear(4, 2), fixed=nn.Linear(4, 4).requires_grad_(False)))
    optimizer = dict(type='AdamW', lr=1e-3, weight_decay=0.05)
    return build_optim_wrapper(model, dict(optimizer=optimizer, constructor=constructor, paramwise_cfg=paramwise_cfg))


OURS = 'mmvidmae.SummarizingOptimWrapperConstructor'


def test_groups_are_mmengines(lines):
    options = dict(custom_keys=dict(backbone=dict(lr_mult=0.1)), flat_decay_mult=0.0)
    ours = build(OURS, **options).optimizer.state_dict()['param_groups']
    summary = list(lines)
    theirs = build('DefaultOptimWrapperConstructor', **options).optimizer.state_dict()['param_groups']
    assert ours == theirs
    assert len(lines) - len(summary) > 20, 'what is not said any more'
    assert summary == [
        'Parameters by options:\n'
        '  lr 0.0001, weight_decay 0.05: 12 parameters in backbone\n'
        '  lr 0.001, weight_decay 0.05: 1 parameters in head\n'
        '  lr 0.001, weight_decay 0: 1 parameters in head\n'
        '  frozen: 2 parameters'
    ]


def test_other_lines_are_kept(lines):
    build(OURS)
    assert not lines
    MMLogger.get_instance('parameters').info('paramwise_options -- of somebody else')
    assert len(lines) == 1
