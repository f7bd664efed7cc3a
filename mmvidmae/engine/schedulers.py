"""Parameter schedulers."""

from mmengine.optim import LinearLR as _LinearLR

from mmvidmae.registry import PARAM_SCHEDULERS


@PARAM_SCHEDULERS.register_module()
class LinearLR(_LinearLR):
    """MMEngine's ``LinearLR``, except that a warm-up of one step or less ends at ``end_factor``, too.

    MMEngine (0.10.7) moves from ``start_factor`` in the first step to ``end_factor`` in the last. With a single step,
    the learning rate stays at ``start_factor``, also for later schedulers. An epoch of few clips can be one step. A
    warm-up of half an epoch then has no step, which MMEngine refuses. ``start_factor=0`` is possible, too.

    Takes the arguments of MMEngine's class.
    """

    def __init__(self, *args, begin: int = 0, end: int = int(1e9), **kwargs) -> None:
        super().__init__(*args, begin=begin, end=begin + 1 if end == begin else end, **kwargs)

    def _get_value(self) -> list[float]:
        if self.total_iters == 0:
            return [group[self.param_name] * self.end_factor for group in self.optimizer.param_groups]
        if self.start_factor == 0 and 0 < self.last_step <= self.total_iters:  # MMEngine would divide by 0
            return [value * self.end_factor * self.last_step / self.total_iters for value in self.base_values]
        return super()._get_value()
