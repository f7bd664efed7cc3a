"""Strict loading of checkpoints in tests."""

from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmvidmae.converters import strip_wrappers
from mmvidmae.engine.unwrap import unwrapped_model
from mmvidmae.registry import HOOKS
from mmvidmae.utils.weights import load_whole


@HOOKS.register_module()
class WholeCheckpointHook(Hook):
    """Refuses a checkpoint without all parameters of the model, for tests (:func:`load_whole`).

    MMEngine only warns and then tests weights that are partly random. This hook runs after hooks that change a
    checkpoint (``EMAHook``). It removes prefixes of model wrappers from parameter names (:func:`strip_wrappers`).
    """

    priority = 'LOWEST'

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Load the weights, or raise an error that lists what is missing."""
        model = unwrapped_model(runner)
        weights = checkpoint.get('state_dict', checkpoint)
        state_dict = strip_wrappers(weights)
        load_whole(model, state_dict, runner._load_from or 'the checkpoint')
        weights.clear()
        weights.update(state_dict)
