"""The epoch schedule of candidate elimination."""

from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner

from mmvidmae.models.trackers import keep_ratio_at
from mmvidmae.registry import HOOKS


@HOOKS.register_module()
class CandidateEliminationHook(Hook):
    """Sets how many search tokens a :class:`DropTrack` keeps in training, before each epoch: all until ``start``, then
    falling along a cosine to the keep ratio of its encoder's first elimination (OSTrack's ``adjust_keep_rate``).

    Args:
        start: First epoch, from 1, that may eliminate.
        warmup: Epochs until the final keep ratio.
    """

    def __init__(self, start: int = 20, warmup: int = 50) -> None:
        self.start = start
        self.warmup = warmup

    def before_train_epoch(self, runner: Runner) -> None:
        """Set the epoch's keep ratio, and note it beside the losses in the log."""
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        final = next(iter(model.backbone.ce_keep_ratio.values()), 1.0)
        model.keep_ratio = keep_ratio_at(runner.epoch + 1, self.start, self.warmup, final)
        runner.message_hub.update_scalar('train/keep_ratio', model.keep_ratio)
