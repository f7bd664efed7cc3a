"""Stop of a training with a NaN or infinite loss."""

import torch
from mmengine.dist import all_reduce
from mmengine.hooks import CheckpointHook, Hook
from mmengine.runner import Runner

from mmvidmae.registry import HOOKS

_NEVER = torch.iinfo(torch.int64).max


@HOOKS.register_module()
class NonFiniteLossHook(Hook):
    """Stops all ranks with the same error after a NaN or infinite loss on any of them.

    Each step only updates a number on the device. The hook reads it and reduces it over the ranks every ``interval``
    iterations, at the end of an epoch, before a validation and before a checkpoint. A checkpoint with broken weights
    therefore never replaces a good one. Infinite *gradients* of a loss scaler (AMP) are no error: the scaler skips
    such steps.

    Args:
        interval: Iterations between checks. A check waits for the device, so small values cost speed.
    """

    # Before the checkpoint hook (VERY_LOW).
    priority = 'LOW'

    def __init__(self, interval: int = 50) -> None:
        self.interval = interval
        self.first_bad = None

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict | None = None, outputs: dict | None = None
    ) -> None:
        """Record a non-finite ``outputs['loss']``, and check every ``interval`` iterations."""
        loss = outputs['loss'].detach()
        # Iteration and rank in one number, so that one reduction finds the first.
        now = torch.full((), runner.iter * runner.world_size + runner.rank, dtype=torch.int64, device=loss.device)
        now = torch.where(torch.isfinite(loss).all(), _NEVER, now)
        self.first_bad = now if self.first_bad is None else torch.minimum(self.first_bad, now)
        if self.every_n_train_iters(runner, self.interval) or self._checkpoint_follows(runner):
            self._check(runner)

    def after_train_epoch(self, runner: Runner) -> None:
        """Check before the checkpoint of the epoch."""
        self._check(runner)

    def before_val(self, runner: Runner) -> None:
        """Check before a validation, after which a best checkpoint may be saved."""
        self._check(runner)

    def _checkpoint_follows(self, runner: Runner) -> bool:
        return any(
            self.every_n_train_iters(runner, hook.interval, hook.save_begin) or self.is_last_train_iter(runner)
            for hook in runner.hooks
            if isinstance(hook, CheckpointHook) and not hook.by_epoch
        )

    def _check(self, runner: Runner) -> None:
        if self.first_bad is None:  # validation without training
            return
        all_reduce(self.first_bad, op='min')
        first_bad = self.first_bad.item()
        if first_bad != _NEVER:
            iteration, rank = divmod(first_bad, runner.world_size)
            raise FloatingPointError(
                f'The training loss became NaN or infinite at iteration {iteration + 1} (rank {rank}). Training stops; '
                'earlier checkpoints are kept. Try a lower learning rate, a longer warm-up, gradient clipping '
                '(optim_wrapper=dict(clip_grad=dict(max_norm=1.0))) or no mixed precision '
                "(optim_wrapper=dict(type='OptimWrapper')), then continue with --resume."
            )
