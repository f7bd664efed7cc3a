"""Record of the evaluated weights."""

from pathlib import Path

from mmengine.dist import is_main_process
from mmengine.evaluator import Evaluator
from mmengine.hooks import Hook
from mmengine.model import PretrainedInit
from mmengine.runner import BaseLoop, Runner, find_latest_checkpoint
from torch import nn

from mmvidmae.engine.unwrap import unwrapped_model
from mmvidmae.evaluation.metrics.video_metric import VideoMetric
from mmvidmae.registry import HOOKS
from mmvidmae.utils.files import file_sha256

Weights = str | dict
"""Description of weights. Either ``dict(checkpoint=..., sha256=...)`` with the first digits of the file's SHA-256 (None
for a remote file), a dict of such dicts by the names of the parts that loaded them (``init_cfg``), or a text such as
:data:`RANDOM`."""

RANDOM = 'random weights'
HASH_DIGITS = 16


@HOOKS.register_module()
class WeightsRecordHook(Hook):
    """Logs which weights a test evaluates and passes them to metrics of whole videos (:class:`VideoMetric`).

    These metrics write them to their score files, and place a relative ``out_dir`` in the work dir of the run.
    ``tools/test.py`` adds this hook to a config without it.

    Attributes:
        weights: The weights that were evaluated last, on the first rank only.
    """

    def __init__(self) -> None:
        self.weights: Weights = RANDOM

    def before_test(self, runner: Runner) -> None:
        """Log the weights and pass them to the metrics."""
        self._pass_on(runner, runner.test_evaluator)
        runner.logger.info(f'Weights: {describe(self.weights)}')

    def before_val(self, runner: Runner) -> None:
        """Pass the weights to the metrics."""
        self._pass_on(runner, runner.val_evaluator)

    def _pass_on(self, runner: Runner, evaluator: Evaluator) -> None:
        if is_main_process():  # other ranks write no scores
            self.weights = find_weights(runner)
        for metric in evaluator.metrics:
            if isinstance(metric, VideoMetric):
                metric.start(runner.work_dir, self.weights)


def find_weights(runner: Runner) -> Weights:
    """Describe the weights of a runner's model."""
    if trained := trained_iterations(runner):
        return f'iteration {trained} of the training in {runner.work_dir}'
    if runner._has_loaded:
        return identify(runner._load_from or find_latest_checkpoint(runner.work_dir))
    model = unwrapped_model(runner)
    return {name: identify(path) for name, path in _initialized_from(model).items()} or RANDOM


def trained_iterations(runner: Runner) -> int:
    """Number of trained iterations. ``runner.iter`` itself would build the training data in a test."""
    return runner.iter if isinstance(runner._train_loop, BaseLoop) else 0


def identify(checkpoint: str) -> dict[str, str | None]:
    """Path and first digits of the SHA-256 of a checkpoint."""
    digest = file_sha256(checkpoint)[:HASH_DIGITS] if Path(checkpoint).is_file() else None
    return dict(checkpoint=str(checkpoint), sha256=digest)


def describe(weights: Weights) -> str:
    """Describe weights as text."""
    if isinstance(weights, str):
        return weights
    if 'checkpoint' in weights:
        return f'{weights["checkpoint"]} (SHA-256 {weights["sha256"] or "unknown"})'
    parts = ', '.join(f'{name} from {describe(part)}' for name, part in weights.items())
    return f'{parts}; {RANDOM} elsewhere'


def _initialized_from(model: nn.Module) -> dict[str, str]:
    """Checkpoints that parts of a model loaded by their ``init_cfg``, by the names of the parts."""
    found = {}
    for name, module in model.named_modules():
        configs = getattr(module, 'init_cfg', None) or []
        for config in configs if isinstance(configs, list) else [configs]:
            if config['type'] in ('Pretrained', PretrainedInit) and module.is_init:
                found[name or 'model'] = config['checkpoint']
    return found
