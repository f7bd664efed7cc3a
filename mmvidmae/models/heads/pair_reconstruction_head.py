"""Pixel reconstruction of frames."""

from mmengine.model import BaseModule
from torch import Tensor

from mmvidmae.registry import MODELS

from ..layers import require_whole

EPS = 1e-6


@MODELS.register_module()
class PairReconstructionHead(BaseModule):
    """Head that compares predicted and true pixels on the hidden patches.

    A prediction covers the L patches of each of T frames.

    Args:
        patch_size: Patch side p in pixels.
        norm_pix: Whether to normalize the targets per patch: ``(t - mean) / sqrt(var + 1e-6)`` over its ``p * p * 3``
            values, with the unbiased variance, as in MAE's code.
        loss: Loss module called with ``(pred, target, mask)``. The default is the loss of both papers: the squared
            error averaged over each patch, then over hidden patches.
    """

    def __init__(
        self,
        patch_size: int = 16,
        norm_pix: bool = True,
        loss: dict = dict(type='mmpretrain.PixelReconstructionLoss', criterion='L2'),  # noqa: B006 (only read)
    ) -> None:
        super().__init__()
        require_whole(self, patch_size=patch_size)
        self.patch_size = patch_size
        self.norm_pix = norm_pix
        self.loss_module = MODELS.build(loss)

    def patchify(self, frames: Tensor) -> Tensor:
        """Cut frames ``(N, T, 3, H, W)`` into patches ``(N, T L, p * p * 3)``, frame 0 first. The values of a patch are
        pixel-major with the channel last."""
        p = self.patch_size
        patches = frames.unflatten(4, (-1, p)).unflatten(3, (-1, p))  # (N, T, 3, rows, p, columns, p)
        return patches.permute(0, 1, 3, 5, 4, 6, 2).flatten(4).flatten(1, 3)

    def unpatchify(self, patches: Tensor, grid: tuple[int, int]) -> Tensor:
        """Inverse of :meth:`patchify` for a patch grid (rows, columns)."""
        p = self.patch_size
        patches = patches.unflatten(1, (-1, *grid)).unflatten(4, (p, p, 3))
        return patches.permute(0, 1, 6, 2, 4, 3, 5).flatten(5).flatten(3, 4)

    def normalize(self, patches: Tensor) -> Tensor:
        """Compute the targets of true patches, both ``(N, P, p * p * 3)``."""
        if not self.norm_pix:
            return patches
        mean, std = self._statistics(patches)
        return (patches - mean) / std

    def denormalize(self, pred: Tensor, patches: Tensor) -> Tensor:
        """Convert a prediction to pixels. If targets are normalized, the mean and standard deviation of the true
        patches are restored. All shapes are ``(N, P, p * p * 3)``."""
        if not self.norm_pix:
            return pred
        mean, std = self._statistics(patches)
        return pred * std + mean

    @staticmethod
    def _statistics(patches: Tensor) -> tuple[Tensor, Tensor]:
        var, mean = patches.var(dim=-1, keepdim=True), patches.mean(dim=-1, keepdim=True)
        return mean, (var + EPS).sqrt()

    def loss(self, pred: Tensor, frames: Tensor, mask: Tensor) -> Tensor:
        """Compute the reconstruction loss of T predicted frames.

        Args:
            pred: Prediction ``(N, T L, p * p * 3)``.
            frames: Normalized frames ``(N, T, 3, H, W)``.
            mask: Mask ``(N, T L)``, 1 where the prediction counts.

        Returns:
            A scalar.
        """
        return self.loss_module(pred, self.normalize(self.patchify(frames)), mask)
