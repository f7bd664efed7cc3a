"""CandidateEliminationHook sets the model's rate by the epoch alone, so also after a resume."""

from types import SimpleNamespace

import pytest
from mmengine.logging import MessageHub
from torch import nn

from mmvidmae.engine.hooks import CandidateEliminationHook


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.keep_ratio = 1.0
        self.backbone = SimpleNamespace(ce_keep_ratio={3: 0.7, 6: 0.7})


def rates(epochs) -> list[float]:
    hook, model, result = CandidateEliminationHook(start=20, warmup=50), Model(), []
    hub = MessageHub.get_instance('candidate_elimination')
    for epoch in epochs:
        hook.before_train_epoch(SimpleNamespace(model=model, epoch=epoch, message_hub=hub))
        result.append(model.keep_ratio)
        assert hub.get_scalar('train/keep_ratio').current() == model.keep_ratio
    return result


def test_rates_of_the_authors():
    """All tokens to epoch 20, half way after 25 epochs, the rate of the test from epoch 70 on (epochs from 1)."""
    found = rates((0, 19, 44, 69, 99))
    assert found == pytest.approx([1.0, 1.0, 0.85, 0.7, 0.7])
    assert rates([44]) == [found[2]]
