"""Save and stop when a scheduler takes the machine away."""

import math
import os
import signal
import threading
from collections.abc import Sequence
from types import FrameType

import torch
from mmengine.dist import all_reduce, barrier
from mmengine.hooks import Hook
from mmengine.runner import EpochBasedTrainLoop, Runner

from mmvidmae.datasets.samplers import PairSampler
from mmvidmae.registry import HOOKS

from .atomic_checkpoint_hook import AtomicCheckpointHook


class Preempted(Exception):
    """Raised on all ranks when a preempted run has stopped. The message tells what was saved."""

    EXIT_CODE = 75
    """Exit code of ``tools/train.py``: EX_TEMPFAIL of sysexits.h, "try again later"."""


@HOOKS.register_module()
class PreemptionHook(Hook):
    """Saves a checkpoint and stops after a signal that announces the end of the process.

    Slurm sends SIGTERM before it preempts a job, and SIGUSR1 as ``--signal`` asks, some time before the time limit.
    ``torchrun`` passes SIGTERM on to its processes. All ranks stop after the same iteration. The checkpoint
    ``preempted.pth`` is the latest one of the work dir, until the resumed run saves its next one. A resumed run
    continues within the epoch, with the same samples as if it had not stopped.

    The run stops within ``interval`` iterations, rounded up to whole optimizer steps (``accumulative_counts``). During
    a validation it does not stop. In an epoch-based run whose sampler is no ``PairSampler``, it stops without saving,
    because such a run can only resume at the end of an epoch.

    Args:
        signals: Names of the signals.
        interval: Iterations between the moments at which several ranks agree. Each waits for the device.

    Raises:
        Preempted: After the checkpoint is saved.
    """

    priority = 'LOWEST'

    def __init__(self, signals: Sequence[str] = ('SIGTERM', 'SIGUSR1'), interval: int = 10) -> None:
        self.signals = [signal.Signals[name] for name in signals]
        self.interval = interval
        self._asked = False
        self._before: dict[signal.Signals, object] = {}

    def before_train(self, runner: Runner) -> None:
        """Listen to the signals. Python allows it in the main thread only."""
        if threading.current_thread() is not threading.main_thread():
            return
        own, self._asked = os.getpid(), False

        def note(number: int, frame: FrameType | None) -> None:
            if os.getpid() == own:
                self._asked = True
            else:  # a forked process, which ends as without this hook
                signal.signal(number, signal.SIG_DFL)
                os.kill(os.getpid(), number)

        self._before = {number: signal.signal(number, note) for number in self.signals}

    def after_train(self, runner: Runner) -> None:
        """Restore the earlier handlers."""
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict | None = None, outputs: dict | None = None
    ) -> None:
        """Stop within an epoch."""
        accumulated = getattr(runner.optim_wrapper, '_accumulative_counts', 1)
        interval = self.interval if runner.world_size > 1 else 1
        due = (runner.iter + 1) % (math.ceil(interval / accumulated) * accumulated) == 0
        by_epoch = isinstance(runner.train_loop, EpochBasedTrainLoop)
        if due and not (by_epoch and batch_idx + 1 == len(runner.train_dataloader)):
            self._stop_if_asked(runner, by_epoch=False)

    def after_train_epoch(self, runner: Runner) -> None:
        """Stop between epochs."""
        if isinstance(runner.train_loop, EpochBasedTrainLoop) and runner.epoch + 1 < runner.max_epochs:
            self._stop_if_asked(runner, by_epoch=True)

    def _stop_if_asked(self, runner: Runner, by_epoch: bool) -> None:
        asked = torch.tensor(int(self._asked))
        all_reduce(asked, op='max')
        if not asked:
            return
        savers = [hook for hook in runner.hooks if isinstance(hook, AtomicCheckpointHook)]
        within_epoch = not by_epoch and isinstance(runner.train_loop, EpochBasedTrainLoop)
        can_resume = not within_epoch or isinstance(runner.train_dataloader.sampler, PairSampler)
        if savers and can_resume:
            savers[0].save_preempted(runner, by_epoch)
        barrier()  # a scheduler may end all processes after the first
        self.after_train(runner)
        raise Preempted('saved' if savers and can_resume else 'not saved: such a run resumes between epochs only')
