"""Random numbers that depend only on the step."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from mmengine.hooks import Hook
from mmengine.runner import IterBasedTrainLoop, Runner

from mmvidmae.datasets.samplers import InfinitePairSampler, PairSampler
from mmvidmae.registry import HOOKS


@HOOKS.register_module()
class StepSeedHook(Hook):
    """Seeds torch's generators before each training iteration from (seed of the run, iteration, rank).

    Random numbers in the model (dropout, attention dropout) then do not depend on earlier steps. A resumed run
    continues as if it had not stopped, and ranks draw different numbers. The cost is below 0.1 ms per step.

    The data order depends on the sampler's seed. Without a configured seed, MMEngine draws one and restores it only
    after it has built the sampler. This hook therefore stores the sampler's seed in checkpoints and restores it before
    the first step.

    A resumed iteration-based run with one of our samplers continues at its position. MMEngine would load and drop all
    earlier batches.
    """

    def before_train(self, runner: Runner) -> None:
        """Store the sampler's seed in the message hub, which is part of checkpoints, or restore it from there."""
        sampler = runner.train_dataloader.sampler
        if getattr(sampler, 'seed', None) is None:
            return
        seed = runner.message_hub.runtime_info.get('sampler_seed', sampler.seed)
        runner.message_hub.update_info('sampler_seed', seed)
        if sampler.seed != seed:
            sampler.seed = seed
            if isinstance(runner.train_loop, IterBasedTrainLoop):  # its iterator has been created already
                _restart(runner.train_loop)

    def before_train_epoch(self, runner: Runner) -> None:
        """Move an iteration-based run to its next batch. Such a run has a single epoch for MMEngine."""
        loop, loader = runner.train_loop, runner.train_dataloader
        if not runner.iter or not isinstance(loop, IterBasedTrainLoop) or not isinstance(loader.sampler, PairSampler):
            return
        endless = isinstance(loader.sampler, InfinitePairSampler)
        epoch, batches = (0, runner.iter) if endless else divmod(runner.iter, len(loader))
        loader.sampler.set_epoch(epoch)
        loader.sampler.start = batches * loader.batch_sampler.batch_size
        _restart(loop)
        loop.dataloader_iterator._epoch = epoch
        asked = 0 if hasattr(loop.dataloader_iterator, 'skip_iter') else runner.iter
        loop.dataloader_iterator = _Onwards(loop.dataloader_iterator, asked)

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: dict | None = None) -> None:
        """Seed the CPU's generator and those of all GPUs."""
        state = np.random.SeedSequence([runner.seed, runner.iter, runner.rank]).generate_state(1, np.uint64)
        torch.manual_seed(int(state[0]))


def _restart(loop: IterBasedTrainLoop) -> None:
    loop.dataloader_iterator = type(loop.dataloader_iterator)(loop.dataloader)


class _Onwards:
    """The remaining batches of a resumed run.

    MMEngine's loop first asks for the ``done`` earlier batches and gets None for each. OneDL's loop calls
    :meth:`skip_iter`.
    """

    def __init__(self, batches: Iterator[Any], done: int) -> None:
        self._batches = batches
        self._done = done

    def skip_iter(self, num_iters: int) -> None:
        """Does nothing, because the sampler is already at its position."""

    def __next__(self) -> Any:
        if self._done:
            self._done -= 1
            return None
        return next(self._batches)
