"""What self-distillation adds to a run: groups and clipping by part, schedules of the teacher."""

from types import SimpleNamespace

import pytest
import torch
from mmengine.optim import build_optim_wrapper
from torch import nn

from mmvidmae.engine.hooks.teacher_hook import TeacherHook
from mmvidmae.engine.optimizers.partwise_constructor import clip_grad_norm


class Parts(nn.Module):
    """A model of two parts whose gradients differ by a factor."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = nn.Linear(3, 3)
        self.head = nn.Linear(3, 1)

    def get_layer_depth(self, name: str) -> tuple[int, int]:
        return (0 if name.startswith('backbone') else 1), 2


def build(model: nn.Module, wrapper: str = 'OptimWrapper', **options):
    return build_optim_wrapper(
        model,
        dict(
            type=wrapper,
            constructor='mmvidmae.PartwiseOptimWrapperConstructor',
            optimizer=dict(type='SGD', lr=1.0, weight_decay=0.1),
            paramwise_cfg=options,
        ),
    )


def test_each_part_is_clipped_by_itself_before_the_step():
    model = Parts()
    wrapper = build(model, clip_norm=2.0, flat_decay_mult=0)
    for part, size in ((model.backbone, 10.0), (model.head, 0.1)):
        for parameter in part.parameters():
            parameter.grad = torch.full_like(parameter, size)
    wrapper.step()
    norms = [
        torch.stack([parameter.grad.norm() for parameter in part.parameters()]).norm().item()
        for part in (model.backbone, model.head)
    ]
    assert norms == pytest.approx([2.0, 0.2], rel=1e-5)


def test_clipping_is_that_of_torch():
    torch.manual_seed(0)
    ours, theirs = Parts(), Parts()
    for mine, other in zip(ours.parameters(), theirs.parameters()):
        mine.grad = torch.randn_like(mine)
        other.grad = mine.grad.clone()
    expected = nn.utils.clip_grad_norm_(theirs.parameters(), 0.5)
    torch.testing.assert_close(clip_grad_norm(ours.parameters(), 0.5), expected)
    for mine, other in zip(ours.parameters(), theirs.parameters()):
        torch.testing.assert_close(mine.grad, other.grad)
    assert clip_grad_norm(Parts().parameters(), 0.5) is None


def test_groups_have_rate_decay_and_part():
    model = Parts()
    wrapper = build(model, layer_decay_rate=0.5, lr_mults={'head': 0.1, 'head.bias': 2.0}, flat_decay_mult=0)
    names = {parameter: name for name, parameter in model.named_parameters()}
    found = {
        names[parameter]: (group['lr'], group['weight_decay'], group['part'])
        for group in wrapper.optimizer.param_groups
        for parameter in group['params']
    }
    assert found == {
        'backbone.weight': (0.5, 0.1, 'backbone'),
        'backbone.bias': (0.5, 0.0, 'backbone'),
        'head.weight': (0.1, 0.1, 'head'),
        'head.bias': (0.2, 0.0, 'head'),
    }


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(layer_decay=0.9), 'paramwise_cfg has layer_decay; it may have layer_decay_rate'),
        (dict(lr_mults={'neck': 0.1}), "no parameter begins with 'neck'"),
    ],
)
def test_wrong_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        build(Parts(), **options)


def runner_of(model: nn.Module, groups: list[dict]) -> SimpleNamespace:
    return SimpleNamespace(model=model, optim_wrapper=SimpleNamespace(param_groups=groups))


def test_a_model_without_a_teacher_is_refused():
    with pytest.raises(TypeError, match='Parts has no teacher'):
        TeacherHook().before_train(runner_of(Parts(), []))


def test_a_frozen_last_layer_needs_its_group():
    model = Parts()
    model.teacher = nn.Identity()
    with pytest.raises(TypeError, match='PartwiseOptimWrapperConstructor'):
        TeacherHook().before_train(runner_of(model, [dict(lr=1.0)]))
    TeacherHook(freeze_epochs=0).before_train(runner_of(model, [dict(lr=1.0)]))


@pytest.mark.parametrize('options', [dict(momentum=1.1), dict(temperature=0.0)])
def test_wrong_schedules_are_refused(options):
    with pytest.raises(ValueError, match=f'TeacherHook: {next(iter(options))} must be'):
        TeacherHook(**options)


def test_schedules_end_where_they_say():
    hook = TeacherHook(momentum=0.9, temperature_epochs=2)
    momentum, temperature = hook.momentum_schedule(4), hook.temperature_schedule(2)
    assert [momentum.value_at(step) for step in (0, 2, 4, 5)] == pytest.approx([0.9, 0.95, 1.0, 1.0])
    assert [temperature.value_at(step) for step in (0, 1, 3, 9)] == pytest.approx([0.04, 0.05, 0.07, 0.07])
    assert TeacherHook(temperature_epochs=0).temperature_schedule(2).value_at(0) == pytest.approx(0.07)
