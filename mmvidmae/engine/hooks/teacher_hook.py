"""The schedules of self-distillation, and the update of the teacher."""

import math

from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner

from mmvidmae.registry import HOOKS


@HOOKS.register_module()
class TeacherHook(Hook):
    """Updates the teacher of a model after each step of the optimizer, and sets its schedules.

    All values depend on the iteration alone, so a resumed run continues exactly.

    - The momentum goes from ``momentum`` to ``end_momentum`` along half a cosine over the run.
    - The temperature goes linearly from ``temperature`` to ``end_temperature`` in ``temperature_epochs`` epochs.
    - In the first ``freeze_epochs`` epochs, the last layer of the prototype head has a learning rate of 0. This needs
      the groups of :class:`PartwiseOptimWrapperConstructor`.

    Args:
        momentum: Share that the teacher keeps in the first update.
        end_momentum: The same in the last update.
        temperature: Temperature of the teacher in the first iteration.
        end_temperature: Temperature after ``temperature_epochs``.
        temperature_epochs: Epochs in which the temperature rises.
        freeze_epochs: Epochs in which the last layer is frozen.

    Raises:
        ValueError: If a momentum is not in [0, 1] or a temperature not above 0.
        TypeError: Before training, if the model has no teacher.
    """

    def __init__(
        self,
        momentum: float = 0.992,
        end_momentum: float = 1.0,
        temperature: float = 0.04,
        end_temperature: float = 0.07,
        temperature_epochs: int = 30,
        freeze_epochs: int = 1,
    ) -> None:
        if not (0 <= momentum <= 1 and 0 <= end_momentum <= 1):
            raise ValueError(f'TeacherHook: momentum must be in [0, 1], got {momentum} and {end_momentum}')
        if not (temperature > 0 and end_temperature > 0):
            raise ValueError(f'TeacherHook: temperature must be above 0, got {temperature} and {end_temperature}')
        self.momentum = (momentum, end_momentum)
        self.temperature = (temperature, end_temperature)
        self.temperature_epochs = temperature_epochs
        self.freeze_epochs = freeze_epochs
        self._rates: list[tuple[dict, float]] = []

    def before_train(self, runner: Runner) -> None:
        """Look whether there is a teacher."""
        model = _model(runner)
        if getattr(model, 'teacher', None) is None:
            raise TypeError(
                f'TeacherHook: {type(model).__name__} has no teacher: give the model one, or remove the hook'
            )
        groups = runner.optim_wrapper.param_groups
        if self.freeze_epochs and not any(group.get('last_layer') for group in groups):
            raise TypeError(
                'TeacherHook: freeze_epochs needs the last layer of the head in a group of its own: set '
                "optim_wrapper.constructor='mmvidmae.PartwiseOptimWrapperConstructor', or freeze_epochs=0"
            )

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: dict | None = None) -> None:
        """Set the temperature, and the learning rate of a frozen last layer for this iteration."""
        length = len(runner.train_dataloader)
        teacher = _model(runner).teacher
        teacher.temperature = linear(*self.temperature, runner.iter, self.temperature_epochs * length)
        runner.message_hub.update_scalar('train/teacher_temperature', teacher.temperature)
        if runner.iter < self.freeze_epochs * length:
            self._rates = [
                (group, group['lr']) for group in runner.optim_wrapper.param_groups if group.get('last_layer')
            ]
            for group, _ in self._rates:
                group['lr'] = 0.0

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict | None = None, outputs: dict | None = None
    ) -> None:
        """Give the last layer its learning rate back, which schedulers continue from, and update the teacher."""
        for group, rate in self._rates:
            group['lr'] = rate
        self._rates = []
        if runner.optim_wrapper.should_update():
            momentum = cosine(*self.momentum, runner.iter, runner.max_iters)
            runner.message_hub.update_scalar('train/teacher_momentum', momentum)
            _model(runner).update_teacher(momentum)


def cosine(start: float, end: float, step: int, steps: int) -> float:
    """Value at a step of half a cosine from ``start`` at step 0 to ``end`` at ``steps``."""
    return end + (start - end) * (1 + math.cos(math.pi * min(step / steps, 1.0))) / 2


def linear(start: float, end: float, step: int, steps: int) -> float:
    """Value at a step of a line from ``start`` at step 0 to ``end`` at the last of ``steps`` steps."""
    return end if step >= steps - 1 else start + (end - start) * step / (steps - 1)


def _model(runner: Runner):
    return runner.model.module if is_model_wrapper(runner.model) else runner.model
