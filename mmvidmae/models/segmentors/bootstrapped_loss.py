"""Cross-entropy of the hardest pixels."""

import torch.nn.functional as F
from torch import Tensor, nn

from mmvidmae.registry import MODELS


@MODELS.register_module()
class BootstrappedCrossEntropy(nn.Module):
    """Cross-entropy over the pixels with the largest loss in each sample. Their share decreases during training.

    Args:
        top_share: Final share of the pixels.
        start: Iteration up to which all pixels count.
        end: Iteration from which ``top_share`` of them count. The share decreases linearly in between.

    Source: ``BootstrappedCE`` of ``jimmy-dq/DropSeg@7f5e082:model/losses.py:26-46``, which is from STCN.
    """

    def __init__(self, top_share: float = 0.15, start: int = 20000, end: int = 70000) -> None:
        super().__init__()
        if not 0 < top_share <= 1 or not 0 <= start < end:
            raise ValueError(
                'BootstrappedCrossEntropy: expected 0 < top_share <= 1 and 0 <= start < end, got '
                f'top_share={top_share}, start={start}, end={end}'
            )
        self.top_share = top_share
        self.start = start
        self.end = end

    def share_at(self, iteration: int) -> float:
        """Share of the pixels that count at an iteration."""
        left = min(max((self.end - iteration) / (self.end - self.start), 0.0), 1.0)
        return self.top_share + (1 - self.top_share) * left

    def forward(self, logits: Tensor, target: Tensor, iteration: int) -> Tensor:
        """Compute the mean loss over the counted pixels and the samples.

        Args:
            logits: Logits ``(N, C, H, W)``, minus infinity for classes that a sample does not have.
            target: Target classes ``(N, H, W)``, int64.
            iteration: Training iteration, from 0.
        """
        loss = F.cross_entropy(logits, target, reduction='none').flatten(1)
        share = self.share_at(iteration)
        if share < 1:
            loss = loss.topk(int(loss.shape[1] * share), dim=1, sorted=False).values
        return loss.mean()
