"""Random numbers that depend on the step alone."""

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

    What is drawn in the model (dropout, attention dropout) then depends on nothing that happened before, so a resumed
    run continues exactly as if it had never stopped, and ranks draw differently. It costs less than 0.1 ms a
    step.

    The data order needs the sampler's seed. A run without a configured seed draws one, and MMEngine brings it back on
    resume only after it has built the sampler; so this hook keeps the sampler's own seed in the checkpoint and gives
    it back before the first step.

    A resumed iteration-based run with a sampler of ours goes on where it was. MMEngine would load all batches that it
    has seen, to leave them out.
    """

    def before_train(self, runner: Runner) -> None:
        """Keep the sampler's seed in the message hub, which every checkpoint holds, or restore it from there."""
        sampler = runner.train_dataloader.sampler
        if getattr(sampler, 'seed', None) is None:
            return
        seed = runner.message_hub.runtime_info.get('sampler_seed', sampler.seed)
        runner.message_hub.update_info('sampler_seed', seed)
        if sampler.seed != seed:
            sampler.seed = seed
            if isinstance(runner.train_loop, IterBasedTrainLoop):  # it has started the iterator already
                _restart(runner.train_loop)

    def before_train_epoch(self, runner: Runner) -> None:
        """Move an iteration-based run, for which all of it is one epoch, to the batch that it goes on with."""
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
    """The batches of a resumed run that are to come.

    MMEngine's loop asks for the ``done`` batches before them first: it gets None. OneDL's loop calls :meth:`skip_iter`.
    """

    def __init__(self, batches: Iterator[Any], done: int) -> None:
        self._batches = batches
        self._done = done

    def skip_iter(self, num_iters: int) -> None:
        """Does nothing: the sampler is at its place already."""

    def __next__(self) -> Any:
        if self._done:
            self._done -= 1
            return None
        return next(self._batches)
