"""AttributeScheduleHook sets attributes by the iteration or epoch alone, so also after a resume."""

import itertools
from types import SimpleNamespace

import pytest
import torch
from mmengine.logging import MessageHub
from mmengine.model import BaseModel
from mmengine.runner import Runner
from torch import nn

from mmvidmae.engine.hooks import AttributeScheduleHook, CandidateEliminationHook


class Model(BaseModel):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(1, 1)
        self.layer.share = 1.0
        self.seen: list[float] = []

    def forward(self, inputs, data_samples=None, mode='loss'):
        self.seen.append(self.layer.share)
        return dict(loss=self.layer(inputs).mean())


def train(work_dir, max_steps: int, by_epoch: bool, resume: bool = False) -> list[float]:
    runner = Runner(
        Model(),
        work_dir=str(work_dir),
        train_dataloader=dict(
            batch_size=1,
            collate_fn=dict(type='default_collate'),
            sampler=dict(type='DefaultSampler', shuffle=False),
            dataset=[dict(inputs=torch.ones(1))] * 2,
        ),
        train_cfg=dict(by_epoch=by_epoch, **{'max_epochs' if by_epoch else 'max_iters': max_steps}),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1)),
        default_hooks=dict(checkpoint=dict(type='mmvidmae.AtomicCheckpointHook', by_epoch=by_epoch, interval=1)),
        custom_hooks=[
            dict(
                type='mmvidmae.AttributeScheduleHook',
                attribute='layer.share',
                begin=1,
                end=3,
                start_value=1.0,
                end_value=0.5,
                by_epoch=by_epoch,
            )
        ],
        resume=resume,
        experiment_name=work_dir.name + str(resume),
    )
    runner.train()
    assert runner.message_hub.get_scalar('train/share').current() == runner.model.seen[-1]
    return runner.model.seen


@pytest.mark.parametrize(('by_epoch', 'repeats'), [(False, 1), (True, 2)])
def test_a_resumed_run_continues_the_schedule(tmp_path, by_epoch, repeats):
    assert train(tmp_path, 2, by_epoch) == [1.0] * 2 * repeats
    assert train(tmp_path, 5, by_epoch, resume=True) == [value for value in (0.75, 0.5, 0.5) for _ in range(repeats)]


def test_an_attribute_that_does_not_exist_is_found_before_training():
    hook = AttributeScheduleHook('layer.shares', begin=0, end=1, start_value=0, end_value=1)
    with pytest.raises(AttributeError, match='shares'):
        hook.before_train(SimpleNamespace(model=Model()))


@pytest.mark.parametrize('options', [dict(begin=3, end=3), dict(begin=0, end=1, curve='step')])
def test_wrong_options(options):
    with pytest.raises(ValueError, match='expected begin < end and a curve of linear, cosine'):
        AttributeScheduleHook('x', start_value=0, end_value=1, **options)


def test_candidate_elimination_as_published():
    """All tokens to epoch 20, half way after 25 epochs, the rate of the test from epoch 70 on (epochs from 1)."""
    model, hub = nn.Module(), MessageHub.get_instance('candidate_elimination')
    model.keep_ratio = 1.0
    model.backbone = SimpleNamespace(ce_keep_ratio={3: 0.7, 6: 0.7})
    hook, rates = CandidateEliminationHook(start=20, warmup=50), []
    hook.before_train(SimpleNamespace(model=model))
    for epoch in range(100):
        hook.before_train_epoch(SimpleNamespace(model=model, epoch=epoch, message_hub=hub))
        rates.append(model.keep_ratio)
        assert hub.get_scalar('train/keep_ratio').current() == model.keep_ratio
    assert rates[:20] == [1.0] * 20
    assert (rates[44], rates[69], rates[99]) == pytest.approx((0.85, 0.7, 0.7))
    assert all(later <= earlier for earlier, later in itertools.pairwise(rates))
