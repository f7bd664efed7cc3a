"""PrDiMP's precise RoI pooling on a CPU.

Why: mmcv (2.1.0, ``ops/prroi_pool.py``) has a kernel only for GPUs, so PrDiMP neither trains nor tracks on a CPU.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import mmcv.ops
import torch
from torch import Tensor


def precise_roi_pool(
    features: Tensor, rois: Tensor, output_size: tuple[int, int], spatial_scale: float = 1.0
) -> Tensor:
    """Exact mean over each bin of the bilinear interpolation of a feature map, which is 0 outside.

    The integral over a rectangle is separable. It weights each row and each column of the map by the integral of its
    hat function.

    Args:
        features: ``(N, C, H, W)``.
        rois: ``(R, 5)``: number of the image, ``x1, y1, x2, y2``.
        output_size: Bins ``(rows, columns)``.
        spatial_scale: Cells of the map per unit of the boxes.

    Returns:
        ``(R, C, rows, columns)``; 0 for boxes without an area. Gradients flow to features and boxes.

    Source: PrRoI pooling (arXiv 1807.11590), equation 3.
    """
    boxes = rois[:, 1:] * spatial_scale
    weights, sizes = [], []
    for axis, bins, cells in ((1, output_size[0], features.shape[2]), (0, output_size[1], features.shape[3])):
        start, end = boxes[:, axis], boxes[:, axis + 2]
        size = (end - start).clamp(min=0) / bins
        edges = start[:, None] + size[:, None] * torch.arange(bins + 1, device=boxes.device)
        integral = _hat_integral(edges[..., None] - torch.arange(cells, device=boxes.device))
        weights.append(integral[:, 1:] - integral[:, :-1])
        sizes.append(size)
    area = (sizes[0] * sizes[1])[:, None, None, None]
    pooled = torch.einsum('rph,rchw,rqw->rcpq', weights[0], features[rois[:, 0].long()], weights[1])
    return torch.where(area > 0, pooled / area.clamp(min=torch.finfo(area.dtype).tiny), torch.zeros_like(pooled))


def _hat_integral(x: Tensor) -> Tensor:
    """Integral of max(0, 1 - |t|) up to x."""
    x = x.clamp(-1, 1)
    return torch.where(x < 0, (1 + x).square() / 2, 1 - (1 - x).square() / 2)


class PrRoIPool(mmcv.ops.PrRoIPool):
    """mmcv's module, with :func:`precise_roi_pool` for features on a CPU."""

    def forward(self, features: Tensor, rois: Tensor) -> Tensor:
        """Pool ``(N, C, H, W)`` over boxes ``(R, 5)``."""
        if features.is_cuda:
            return super().forward(features, rois)
        return precise_roi_pool(features, rois, self.output_size, self.spatial_scale)


@contextmanager
def cpu_prroi_pool() -> Iterator[None]:
    """Replace mmcv's module by this one for mmtrack."""
    true = mmcv.ops.PrRoIPool
    mmcv.ops.PrRoIPool = PrRoIPool
    try:
        yield
    finally:
        mmcv.ops.PrRoIPool = true
