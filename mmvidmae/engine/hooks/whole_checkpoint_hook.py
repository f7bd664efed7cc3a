"""No scores of weights that are random in part."""

from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner

from mmvidmae.converters import strip_wrappers
from mmvidmae.registry import HOOKS
from mmvidmae.utils.weights import load_whole


@HOOKS.register_module()
class WholeCheckpointHook(Hook):
    """Refuses a checkpoint that does not have all of the model (:func:`load_whole`), for tests.

    MMEngine warns, and tests what is random in part. The hook runs after those that change a checkpoint
    (``EMAHook``), and takes off what wrappers have left of names (:func:`strip_wrappers`).
    """

    priority = 'LOWEST'

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Load the weights, or say what is missing."""
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        weights = checkpoint.get('state_dict', checkpoint)
        state_dict = strip_wrappers(weights)
        load_whole(model, state_dict, runner._load_from or 'the checkpoint')
        weights.clear()
        weights.update(state_dict)
