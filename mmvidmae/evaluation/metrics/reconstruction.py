"""How well hidden patches are predicted."""

from collections.abc import Sequence
from typing import Any

from mmengine.dist import get_world_size
from mmengine.evaluator import BaseMetric

from mmvidmae.registry import METRICS


@METRICS.register_module()
class ReconstructionMetric(BaseMetric):
    """Mean reconstruction error over held-out pairs, beside that of the constant predictor.

    Reads ``error`` and ``constant_error`` of the samples that ``PairMAE.predict`` returns. Results, all in units of
    the training loss (with normalized targets the constant predictor scores about 1):

    - ``reconstruction/mse``: squared error of the model on hidden patches;
    - ``reconstruction/constant_mse``: that of predicting each hidden patch's mean color;
    - ``reconstruction/ratio``: the first divided by the second; below 1 the model knows more than the patch's mean.

    Args:
        collect_device: Where results of all ranks are collected, ``'cpu'`` or ``'gpu'``.
        prefix: Prefix of the results' names instead of ``reconstruction``.
    """

    default_prefix = 'reconstruction'

    def __init__(self, collect_device: str = 'cpu', prefix: str | None = None) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Keep the two errors of each pair."""
        self.results += [(float(sample['error']), float(sample['constant_error'])) for sample in data_samples]

    def evaluate(self, size: int) -> dict[str, float]:
        """Collect the results of all ranks and average them.

        Args:
            size: Number of videos in the dataset. Each gives ``repeated_sampling`` results, and none of them must be
                cut off.
        """
        pairs_per_video = max(1, len(self.results) * get_world_size() // size)
        return super().evaluate(size * pairs_per_video)

    def compute_metrics(self, results: list[tuple[float, float]]) -> dict[str, float]:
        """Average ``(error, constant_error)`` over all pairs."""
        mse, constant_mse = (sum(values) / len(results) for values in zip(*results, strict=True))
        return dict(mse=mse, constant_mse=constant_mse, ratio=mse / constant_mse)
