"""A training loop that ends after a number of CPU seconds."""

import math
from pathlib import Path
from time import process_time

from mmengine.registry import LOOPS
from mmengine.runner import EpochBasedTrainLoop, Runner
from torch.utils.data import DataLoader

WARM_UP = 0.05
"""Share of the time with a rising learning rate."""


@LOOPS.register_module()
class TimedTrainLoop(EpochBasedTrainLoop):
    """Trains until the training process has used a number of CPU seconds, in the middle of an epoch.

    The learning rate follows the share of the time that is used: a linear warm-up, then half a cosine to 0. CPU seconds
    are those of the training steps, with all threads, but without validation and the workers that read clips.

    The k-th of ``saves`` equal parts of the time ends in ``part_<k>.pth`` and a validation, at the end of the epoch in
    which the part ends; the last one at the end of the time. A checkpoint after each epoch has the seconds used so
    far. A resumed run continues from it.

    Args:
        runner: Runner.
        dataloader: Loader, or its config.
        seconds: CPU seconds, above 0.
        saves: Number of parts.

    Raises:
        ValueError: If the clips do not fill a batch.
    """

    def __init__(self, runner: Runner, dataloader: DataLoader | dict, seconds: float, saves: int) -> None:
        super().__init__(runner, dataloader, max_epochs=10**5)  # never reached
        if not len(self.dataloader):
            raise ValueError('the data loader has no batch, so training would never end: list more clips')
        self.seconds = seconds
        self.saves = saves

    @property
    def spent(self) -> float:
        """CPU seconds used, also by earlier runs that this one resumes."""
        return self.runner.message_hub.get_info('cpu_seconds', 0.0)

    @property
    def max_iters(self) -> int:
        """Expected number of steps, which schedules of hooks and the log count on."""
        if not self._iter or not self.spent:
            return self._max_iters
        return max(round(self._iter * self.seconds / self.spent), self._iter + 1)

    def run(self) -> None:
        """Train."""
        self.runner.call_hook('before_train')
        self._finish_parts()
        while self.spent < self.seconds:
            self.run_epoch()
            self._finish_parts()
        self.runner.call_hook('after_train')

    def run_epoch(self) -> None:
        """Train an epoch, or less if the time ends."""
        self.runner.call_hook('before_train_epoch')
        self.runner.model.train()
        start = process_time()
        for number, batch in enumerate(self.dataloader):
            for group in self.runner.optim_wrapper.param_groups:
                group['lr'] = group.setdefault('initial_lr', group['lr']) * rate(self.spent / self.seconds)
            self.run_iter(number, batch)
            now = process_time()
            self.runner.message_hub.update_info('cpu_seconds', self.spent + now - start)
            start = now
            if self.spent >= self.seconds:
                return  # without a checkpoint to resume from: runs resume at the end of an epoch
        self.runner.call_hook('after_train_epoch')
        self._epoch += 1

    def _finish_parts(self) -> None:
        """Validate and save at the end of parts."""
        for part in range(1, self.saves + 1):
            name = f'part_{part}.pth'
            saved = part < self.saves and Path(self.runner.work_dir, name).exists()
            if saved or self.spent < self.seconds * part / self.saves:
                continue
            self.runner.save_checkpoint(
                self.runner.work_dir,
                name,
                save_optimizer=False,
                save_param_scheduler=False,
                meta=dict(epoch=self._epoch, iter=self._iter),
                backend_args=dict(backend='mmvidmae.atomic'),
            )
            if self.runner.val_loop is not None:
                self.runner.val_loop.run()


def rate(share: float) -> float:
    """Factor of the learning rate after a share of the time."""
    if share < WARM_UP:
        return max(share / WARM_UP, 1e-9)
    return (1 + math.cos(math.pi * min((share - WARM_UP) / (1 - WARM_UP), 1.0))) / 2
