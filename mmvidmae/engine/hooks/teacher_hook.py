"""The schedules of self-distillation, and the update of the teacher."""

from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmvidmae.engine.unwrap import unwrapped_model
from mmvidmae.registry import HOOKS

from .attribute_schedule_hook import AttributeScheduleHook


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
        model = unwrapped_model(runner)
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
        self.temperature_schedule(length).before_train_iter(runner, batch_idx, data_batch)
        if runner.iter < self.freeze_epochs * length:
            groups = [group for group in runner.optim_wrapper.param_groups if group.get('last_layer')]
            self._rates = [(group, group['lr']) for group in groups]
            for group in groups:
                group['lr'] = 0.0

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict | None = None, outputs: dict | None = None
    ) -> None:
        """Give the last layer its learning rate back, which schedulers continue from, and update the teacher."""
        for group, rate in self._rates:
            group['lr'] = rate
        self._rates = []
        if runner.optim_wrapper.should_update():
            momentum = self.momentum_schedule(runner.max_iters).value_at(runner.iter)
            runner.message_hub.update_scalar('train/teacher_momentum', momentum)
            unwrapped_model(runner).update_teacher(momentum)

    def temperature_schedule(self, epoch_length: int) -> AttributeScheduleHook:
        """Schedule of the temperature for epochs of a number of iterations. The last of ``temperature_epochs`` has
        ``end_temperature``."""
        end = max(self.temperature_epochs * epoch_length - 1, 0)
        return AttributeScheduleHook('teacher.temperature', min(0, end - 1), end, *self.temperature)

    def momentum_schedule(self, max_iters: int) -> AttributeScheduleHook:
        """Schedule of the momentum for a run of a number of iterations."""
        return AttributeScheduleHook('teacher.momentum', 0, max_iters, *self.momentum, curve='cosine')
