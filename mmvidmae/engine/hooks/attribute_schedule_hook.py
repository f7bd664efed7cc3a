"""Schedules of a model's attributes."""

import math
from operator import attrgetter

from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmvidmae.engine.unwrap import unwrapped_model
from mmvidmae.registry import HOOKS

CURVES = ('linear', 'cosine')


@HOOKS.register_module()
class AttributeScheduleHook(Hook):
    """Sets an attribute of the model before each training iteration or epoch.

    The value is ``start_value`` up to ``begin``, then moves to ``end_value``, which it reaches at ``end``. It depends
    on the iteration or epoch alone, so a resumed run continues its schedule. The log shows it under the attribute's
    name.

    Args:
        attribute: Dotted path of a number in the model, such as ``'loss_decode.top_share'``.
        begin: Last iteration or epoch, from 0, with ``start_value``.
        end: First iteration or epoch with ``end_value``.
        start_value: Value at the beginning.
        end_value: Value at the end.
        curve: ``'linear'`` or ``'cosine'``.
        by_epoch: Whether to count epochs instead of iterations.

    Raises:
        ValueError: If ``begin`` is not before ``end``, or the curve is unknown.
        AttributeError: At the start of training, if the model has no such attribute.
    """

    def __init__(
        self,
        attribute: str,
        begin: int,
        end: int,
        start_value: float,
        end_value: float,
        curve: str = 'linear',
        by_epoch: bool = False,
    ) -> None:
        if not begin < end or curve not in CURVES:
            raise ValueError(
                f'{type(self).__name__}: expected begin < end and a curve of {", ".join(CURVES)}, got '
                f'begin={begin}, end={end}, curve={curve!r}'
            )
        self.attribute = attribute
        self.begin, self.end = begin, end
        self.start_value, self.end_value = start_value, end_value
        self.curve = curve
        self.by_epoch = by_epoch

    def value_at(self, step: int) -> float:
        """Value at an iteration or epoch, which count from 0."""
        left = min(max((self.end - step) / (self.end - self.begin), 0.0), 1.0)
        if self.curve == 'cosine':
            left = (1 - math.cos(math.pi * left)) / 2
        return self.end_value + (self.start_value - self.end_value) * left

    def before_train(self, runner: Runner) -> None:
        """Look for the attribute."""
        attrgetter(self.attribute)(unwrapped_model(runner))

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: dict | None = None) -> None:
        """Set the value of an iteration."""
        if not self.by_epoch:
            self._set(runner, runner.iter)

    def before_train_epoch(self, runner: Runner) -> None:
        """Set the value of an epoch."""
        if self.by_epoch:
            self._set(runner, runner.epoch)

    def _set(self, runner: Runner, step: int) -> None:
        value = self.value_at(step)
        owner, _, name = self.attribute.rpartition('.')
        setattr(unwrapped_model(runner).get_submodule(owner), name, value)
        runner.message_hub.update_scalar(f'train/{name}', value)


@HOOKS.register_module()
class CandidateEliminationHook(AttributeScheduleHook):
    """Schedules the share of the search tokens that a :class:`DropTrack` keeps in training (OSTrack's
    ``adjust_keep_rate``).

    All tokens are kept before epoch ``start``. Then the share falls along a cosine to the keep ratio of the encoder's
    first elimination.

    Args:
        start: First epoch, from 1, that may eliminate.
        warmup: Epochs until the final keep ratio.
    """

    def __init__(self, start: int = 20, warmup: int = 50) -> None:
        # MMEngine counts epochs from 0; at start itself the share is still 1
        super().__init__('keep_ratio', start - 1, start - 1 + warmup, 1.0, 1.0, curve='cosine', by_epoch=True)

    def before_train(self, runner: Runner) -> None:
        """Take the final keep ratio from the encoder."""
        super().before_train(runner)
        self.end_value = next(iter(unwrapped_model(runner).backbone.ce_keep_ratio.values()), 1.0)
