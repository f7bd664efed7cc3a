"""Shows what a model reconstructs while it trains."""

from collections.abc import Sequence
from pathlib import Path

import cv2
from mmengine.dist import master_only
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmpretrain.structures import DataSample

from mmvidmae.registry import HOOKS
from mmvidmae.visualization import draw_reconstructions

from .weights_record_hook import trained_iterations


@HOOKS.register_module()
class ReconstructionVisHook(Hook):
    """Draws original, masked picture and reconstruction of the first pairs of a validation or test run.

    The model has predicted them anyway, so a picture costs little. With the default ``PairSampler(shuffle=False)``
    they are the same pairs with the same masks each time, one row a pair. The picture goes to
    ``<work_dir>/reconstructions/val_iter_<n>.png`` (``test.png``) and, as ``val_reconstruction``, to all
    visualization backends such as TensorBoard. ``train_cfg.val_interval`` says how often. Only rank 0 draws, from its
    share of the pairs.

    Args:
        num_pairs: How many pairs to draw.
    """

    def __init__(self, num_pairs: int = 4) -> None:
        self.num_pairs = num_pairs
        self.samples: list[DataSample] = []

    def _before_epoch(self, runner: Runner, mode: str = 'train') -> None:
        self.samples = []

    def after_val_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict | None = None, outputs: Sequence[DataSample] = ()
    ) -> None:
        """Keep the first pairs."""
        self.samples += outputs[: self.num_pairs - len(self.samples)]

    after_test_iter = after_val_iter

    def after_val_epoch(self, runner: Runner, metrics: dict | None = None) -> None:
        """Draw the pairs of a validation."""
        self._draw(runner, 'val', f'val_iter_{runner.iter:07d}.png')

    def after_test_epoch(self, runner: Runner, metrics: dict | None = None) -> None:
        """Draw the pairs of a test."""
        self._draw(runner, 'test', 'test.png')

    @master_only
    def _draw(self, runner: Runner, mode: str, filename: str) -> None:
        if not self.samples:
            return
        picture = draw_reconstructions(self.samples)
        path = Path(runner.work_dir, 'reconstructions', filename)
        path.parent.mkdir(exist_ok=True)
        cv2.imwrite(str(path), picture[..., ::-1])  # OpenCV writes BGR
        runner.visualizer.add_image(f'{mode}_reconstruction', picture, step=trained_iterations(runner))
        runner.logger.info(f'Reconstructions: {path}')
        self.samples = []
