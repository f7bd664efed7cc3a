"""Images of reconstructions during training."""

from collections.abc import Sequence

from mmengine.dist import master_only
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmpretrain.structures import DataSample

from mmvidmae.registry import HOOKS
from mmvidmae.visualization import ReconstructionVisualizer

from .weights_record_hook import trained_iterations


@HOOKS.register_module()
class ReconstructionVisHook(Hook):
    """Draws original, masked image and reconstruction of the first pairs of a validation or test run.

    The model has predicted them anyway, so an image costs little. With the default ``PairSampler(shuffle=False)``
    they are the same pairs with the same masks each time, one row per pair. The image goes to all visualization
    backends, as ``val_reconstruction`` or ``test_reconstruction``. MMEngine's ``LocalVisBackend`` writes it to
    ``<work_dir>/<time>/vis_data/vis_image``. ``train_cfg.val_interval`` sets how often. Only rank 0 draws, from its
    share of the pairs.

    Args:
        num_pairs: Number of pairs to draw.
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
        self._draw(runner, 'val_reconstruction')

    def after_test_epoch(self, runner: Runner, metrics: dict | None = None) -> None:
        """Draw the pairs of a test."""
        self._draw(runner, 'test_reconstruction')

    @master_only
    def _draw(self, runner: Runner, name: str) -> None:
        if self.samples:
            visualizer = ReconstructionVisualizer.sharing_backends(runner.visualizer)
            visualizer.add_datasample(name, self.samples, step=trained_iterations(runner))
            self.samples = []
