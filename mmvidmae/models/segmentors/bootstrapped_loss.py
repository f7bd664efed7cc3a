"""Cross-entropy of the hardest pixels."""

import torch.nn.functional as F
from torch import Tensor, nn

from mmvidmae.registry import MODELS


@MODELS.register_module()
class BootstrappedCrossEntropy(nn.Module):
    """Cross-entropy over the pixels with the largest loss in each sample.

    Args:
        top_share: Share of the pixels that count. :class:`AttributeScheduleHook` lowers it during training.

    Raises:
        ValueError: If the share is not above 0 and at most 1.

    Source: ``BootstrappedCE`` of ``jimmy-dq/DropSeg@7f5e082:model/losses.py:26-46``, which is from STCN.
    """

    def __init__(self, top_share: float = 1.0) -> None:
        super().__init__()
        if not 0 < top_share <= 1:
            raise ValueError(f'BootstrappedCrossEntropy: expected 0 < top_share <= 1, got top_share={top_share}')
        self.top_share = top_share

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Compute the mean loss over the counted pixels and the samples.

        Args:
            logits: Logits ``(N, C, H, W)``, minus infinity for classes that a sample does not have.
            target: Target classes ``(N, H, W)``, int64.
        """
        loss = F.cross_entropy(logits, target, reduction='none').flatten(1)
        if self.top_share < 1:
            loss = loss.topk(int(loss.shape[1] * self.top_share), dim=1, sorted=False).values
        return loss.mean()
