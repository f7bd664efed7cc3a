"""Says which weights are scored, and where the scores go."""

import hashlib
from pathlib import Path

from mmengine.dist import is_main_process
from mmengine.evaluator import Evaluator
from mmengine.hooks import Hook
from mmengine.model import PretrainedInit, is_model_wrapper
from mmengine.runner import BaseLoop, Runner, find_latest_checkpoint
from torch import nn

from mmvidmae.evaluation.metrics.video_metric import VideoMetric
from mmvidmae.registry import HOOKS

Weights = str | dict
"""``dict(checkpoint=..., sha256=...)`` with the beginning of the file's SHA-256 (None for a remote file); a dict of
such dicts by the names of the parts that their ``init_cfg`` has loaded; or words, as :data:`RANDOM`."""

RANDOM = 'random weights'
HASH_DIGITS = 16


@HOOKS.register_module()
class WeightsRecordHook(Hook):
    """Writes the weights that a test scores to the log, and tells the metrics that write files.

    The metrics put them into their score files, and take a relative ``out_dir`` to lie in the work dir of the run.
    ``tools/test.py`` adds this hook to a config that has none.

    Attributes:
        weights: What was scored last; only the first rank knows.
    """

    def __init__(self) -> None:
        self.weights: Weights = RANDOM

    def before_test(self, runner: Runner) -> None:
        """Log the weights and tell the metrics."""
        self._tell(runner, runner.test_evaluator)
        runner.logger.info(f'Weights: {describe(self.weights)}')

    def before_val(self, runner: Runner) -> None:
        """Tell the metrics."""
        self._tell(runner, runner.val_evaluator)

    def _tell(self, runner: Runner, evaluator: Evaluator) -> None:
        if is_main_process():  # the others write no scores
            self.weights = find_weights(runner)
        for metric in evaluator.metrics:
            if isinstance(metric, VideoMetric):
                metric.start(runner.work_dir, self.weights)


def find_weights(runner: Runner) -> Weights:
    """The weights that a runner's model has."""
    if trained := trained_iterations(runner):
        return f'iteration {trained} of the training in {runner.work_dir}'
    if runner._has_loaded:
        return identify(runner._load_from or find_latest_checkpoint(runner.work_dir))
    model = runner.model.module if is_model_wrapper(runner.model) else runner.model
    return {name: identify(path) for name, path in _initialized_from(model).items()} or RANDOM


def trained_iterations(runner: Runner) -> int:
    """``runner.iter``, which in a test would build the training data, with all ranks, to find out that it is 0."""
    return runner.iter if isinstance(runner._train_loop, BaseLoop) else 0


def identify(checkpoint: str) -> dict[str, str | None]:
    """Path and beginning of the SHA-256 of a checkpoint."""
    path, digest = Path(checkpoint), hashlib.sha256()
    if not path.is_file():
        return dict(checkpoint=str(checkpoint), sha256=None)
    with path.open('rb') as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return dict(checkpoint=str(checkpoint), sha256=digest.hexdigest()[:HASH_DIGITS])


def describe(weights: Weights) -> str:
    """Weights in words."""
    if isinstance(weights, str):
        return weights
    if 'checkpoint' in weights:
        return f'{weights["checkpoint"]} (SHA-256 {weights["sha256"] or "unknown"})'
    parts = ', '.join(f'{name} from {describe(part)}' for name, part in weights.items())
    return f'{parts}; {RANDOM} elsewhere'


def _initialized_from(model: nn.Module) -> dict[str, str]:
    """Checkpoints by the names of the parts of a model whose ``init_cfg`` has loaded them."""
    found = {}
    for name, module in model.named_modules():
        configs = getattr(module, 'init_cfg', None) or []
        for config in configs if isinstance(configs, list) else [configs]:
            if config['type'] in ('Pretrained', PretrainedInit) and module.is_init:
                found[name or 'model'] = config['checkpoint']
    return found
