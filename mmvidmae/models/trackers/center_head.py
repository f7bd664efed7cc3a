"""OSTrack's center head: where the target is, in one forward pass."""

from collections import OrderedDict
from itertools import pairwise
from typing import NamedTuple

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmvidmae.registry import MODELS

from ..layers import require, require_whole


class CenterMaps(NamedTuple):
    """What :class:`CenterHead` predicts for each cell of the search region.

    Attributes:
        score: ``(N, 1, h, w)``, that the target's center is here, in [1e-4, 1 - 1e-4].
        size: ``(N, 2, h, w)``, its (width, height) in units of the search region, likewise.
        offset: ``(N, 2, h, w)``, of its center from the cell's corner, (x, y) in cells.
    """

    score: Tensor
    size: Tensor
    offset: Tensor


@MODELS.register_module()
class CenterHead(BaseModule):
    """Three towers of convolutions that predict score, size and offset (OSTrack, arXiv:2203.11991, section 3.4).

    Args:
        in_channels: Width D of the search features.
        channels: Of the first convolution; the following three have half as many each time.
        loss_weights: Of the focal, GIoU and L1 loss.

    Raises:
        ValueError: If a value is out of range.
    """

    def __init__(
        self,
        in_channels: int = 768,
        channels: int = 256,
        loss_weights: tuple[float, float, float] = (1.0, 2.0, 5.0),
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        require_whole(self, in_channels=in_channels)
        require_whole(self, channels=channels)
        require(channels % 8 == 0, self, 'channels', channels, 'divisible by 8: it is halved three times')
        right = len(loss_weights) == 3 and min(loss_weights) >= 0
        require(right, self, 'loss_weights', loss_weights, 'three numbers of at least 0')
        widths = (in_channels, *(channels // 2**i for i in range(4)))
        self.loss_weights = dict(zip(('loss_focal', 'loss_giou', 'loss_l1'), loss_weights))
        self.score, self.size, self.offset = (_tower(widths, outputs) for outputs in (1, 2, 2))

    def init_weights(self) -> None:
        """Initialize as published (Xavier, PyTorch's biases), or load ``init_cfg``."""
        super().init_weights()
        if self.init_cfg is None:
            for module in self.modules():
                if isinstance(module, nn.Conv2d):
                    nn.init.xavier_uniform_(module.weight)

    def forward(self, search: Tensor) -> CenterMaps:
        """Predict from search features ``(N, D, h, w)``."""
        # Half precision cannot tell 1 - 1e-4 from 1, of which the focal loss takes a logarithm.
        dtype = torch.promote_types(search.dtype, torch.float32)
        score, size, offset = (tower(search).to(dtype) for tower in (self.score, self.size, self.offset))
        return CenterMaps(score.sigmoid().clamp(1e-4, 1 - 1e-4), size.sigmoid().clamp(1e-4, 1 - 1e-4), offset)

    def locate(self, search: Tensor, window: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Find the target: what :func:`decode` reads from the maps, computing size and offset for one cell only.

        Args:
            search: Search features ``(N, D, h, w)``.
            window: ``(h, w)`` that the score is weighted with, or None.

        Returns:
            As :func:`decode`.
        """
        dtype = torch.promote_types(search.dtype, torch.float32)
        score = self.score(search).to(dtype).sigmoid().clamp(1e-4, 1 - 1e-4)
        best, index = _highest(score, window)
        size, offset = (_tower_at(tower, search, index).to(dtype) for tower in (self.size, self.offset))
        return _box(index, size.sigmoid().clamp(1e-4, 1 - 1e-4), offset, score.shape[-2:]), best

    def loss(self, maps: CenterMaps, boxes: Tensor) -> dict[str, Tensor]:
        """Losses, weighted, and the mean IoU.

        The box is read at the maximum of the predicted score, in training too.

        Args:
            maps: Predictions.
            boxes: ``(N, 4)`` (x, y, w, h) in units of the search region.

        Returns:
            ``loss_focal``, ``loss_giou``, ``loss_l1`` and ``iou``.
        """
        predicted = cxcywh_to_xyxy(decode(maps)[0])
        # The target may reach out of the crop; as published, it is cut for these two and not for the score.
        target = torch.cat((boxes[:, :2], boxes[:, :2] + boxes[:, 2:]), dim=1).clamp(0, 1)
        giou, iou = generalized_iou(predicted, target)
        heatmap = gaussian_heatmap(boxes, maps.score.shape[-2:])
        losses = dict(
            loss_focal=center_focal_loss(maps.score[:, 0], heatmap),
            loss_giou=(1 - giou).mean(),
            loss_l1=F.l1_loss(predicted, target),
        )
        return {name: self.loss_weights[name] * loss for name, loss in losses.items()} | dict(iou=iou.mean().detach())


def decode(maps: CenterMaps, window: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Read the box where the score, weighted with a window, is largest.

    Args:
        maps: Predictions for N search regions.
        window: ``(h, w)``, or None.

    Returns:
        ``(N, 4)`` (cx, cy, w, h) in units of the search region, and that largest value ``(N,)``.
    """
    best, index = _highest(maps.score, window)
    size, offset = (
        values.flatten(2).gather(2, index[:, None, None].expand(-1, 2, -1))[..., 0]
        for values in (maps.size, maps.offset)
    )
    return _box(index, size, offset, maps.score.shape[-2:]), best


def _highest(score: Tensor, window: Tensor | None) -> tuple[Tensor, Tensor]:
    """Largest value ``(N,)`` of scores ``(N, 1, h, w)`` and its cell's number."""
    response = score if window is None else score * window
    return response.flatten(1).max(dim=1)


def _box(index: Tensor, size: Tensor, offset: Tensor, grid: tuple[int, int]) -> Tensor:
    """(cx, cy, w, h) ``(N, 4)`` of cells ``(N,)`` with a size and an offset ``(N, 2)``."""
    height, width = grid
    cell = torch.stack((index % width, index // width), dim=1)
    return torch.cat(((cell + offset) / offset.new_tensor((width, height)), size), dim=1)


def _tower_at(tower: nn.Sequential, search: Tensor, index: Tensor) -> Tensor:
    """Output ``(N, outputs)`` of a tower at one cell of each sample, from what that cell sees.

    Cells outside the map are zero for each convolution, as its padding makes them.
    """
    *blocks, last = tower
    radius, (height, width) = len(blocks), search.shape[-2:]
    around = torch.arange(-radius, radius + 1, device=index.device)
    rows, columns = (index // width)[:, None] + around, (index % width)[:, None] + around
    inside = ((rows >= 0) & (rows < height))[:, :, None] & ((columns >= 0) & (columns < width))[:, None]
    cells = rows.clamp(0, height - 1)[:, :, None] * width + columns.clamp(0, width - 1)[:, None]
    x = (
        search.flatten(2)
        .gather(2, cells.flatten(1)[:, None].expand(-1, search.shape[1], -1))
        .unflatten(2, inside.shape[1:])
    )
    for block in blocks:
        x = x * inside[:, None]
        x = block.act(block.bn(F.conv2d(x, block.conv.weight, block.conv.bias)))
        inside = inside[:, 1:-1, 1:-1]
    return last(x)[..., 0, 0]


def gaussian_heatmap(boxes: Tensor, grid: tuple[int, int], min_overlap: float = 0.7) -> Tensor:
    """Target of the score: a Gaussian around the center of each box.

    As published, with CornerNet's first formula for the radius (a shifted box overlaps by ``min_overlap``, where two of
    the three cases divide by 2 instead of 2 a), a center rounded half to even, and a radius rounded down. A center
    outside the grid leaves the part of the Gaussian inside, which has no cell of value 1.

    Args:
        boxes: ``(N, 4)`` (x, y, w, h) in units of the search region.
        grid: Cells (h, w) of the score.
        min_overlap: IoU at the radius.

    Returns:
        ``(N, h, w)`` in [0, 1].
    """
    height, width = grid
    boxes = boxes * boxes.new_tensor((width, height, width, height))
    radius = gaussian_radius(boxes[:, 2], boxes[:, 3], min_overlap).clamp(min=0).trunc()[:, None]
    center = (boxes[:, :2] + boxes[:, 2:] / 2).round()
    dx = (torch.arange(width, device=boxes.device) - center[:, :1])[:, None]
    dy = (torch.arange(height, device=boxes.device) - center[:, 1:])[:, :, None]
    radius = radius[..., None]
    gaussian = torch.exp(-(dx**2 + dy**2) / (2 * ((2 * radius + 1) / 6) ** 2))
    return gaussian * ((dx.abs() <= radius) & (dy.abs() <= radius))


def gaussian_radius(width: Tensor, height: Tensor, min_overlap: float) -> Tensor:
    """Radius in cells, real and possibly negative, for boxes of a size in cells; see :func:`gaussian_heatmap`."""
    perimeter, area = width + height, width * height
    cases = (
        (1, perimeter, area * (1 - min_overlap) / (1 + min_overlap)),
        (4, 2 * perimeter, (1 - min_overlap) * area),
        (4 * min_overlap, -2 * min_overlap * perimeter, (min_overlap - 1) * area),
    )
    return torch.stack([(b + (b**2 - 4 * a * c).sqrt()) / 2 for a, b, c in cases]).amin(0)


def center_focal_loss(score: Tensor, target: Tensor) -> Tensor:
    """CenterNet's focal loss (arXiv:1904.07850, equation 1; alpha 2, beta 4) over all cells, divided by the number of
    cells of value 1, if there are any.

    Args:
        score: Predictions strictly between 0 and 1, of any shape.
        target: Values in [0, 1] of the same shape.
    """
    center = target == 1
    positive = (score.log() * (1 - score) ** 2 * center).sum()
    negative = ((1 - score).log() * score**2 * (1 - target) ** 4 * ~center).sum()
    return -(positive + negative) / center.sum().clamp(min=1)


def generalized_iou(boxes: Tensor, others: Tensor) -> tuple[Tensor, Tensor]:
    """Generalized IoU (arXiv:1902.09630) and IoU of boxes ``(N, 4)`` (x1, y1, x2, y2) with their partners, ``(N,)``
    each; exact, without the epsilon of torchvision's."""
    corner1, corner2 = torch.maximum(boxes[:, :2], others[:, :2]), torch.minimum(boxes[:, 2:], others[:, 2:])
    hull = (torch.maximum(boxes[:, 2:], others[:, 2:]) - torch.minimum(boxes[:, :2], others[:, :2])).prod(1)
    overlap = (corner2 - corner1).clamp(min=0).prod(1)
    union = (boxes[:, 2:] - boxes[:, :2]).prod(1) + (others[:, 2:] - others[:, :2]).prod(1) - overlap
    iou = overlap / union
    return iou - (hull - union) / hull, iou


def cxcywh_to_xyxy(boxes: Tensor) -> Tensor:
    """Boxes ``(N, 4)`` by their corners."""
    center, size = boxes.split(2, dim=1)
    return torch.cat((center - size / 2, center + size / 2), dim=1)


def _tower(widths: tuple[int, ...], outputs: int) -> nn.Sequential:
    blocks = [
        nn.Sequential(
            OrderedDict(conv=nn.Conv2d(inner, outer, 3, padding=1), bn=nn.BatchNorm2d(outer), act=nn.ReLU(inplace=True))
        )
        for inner, outer in pairwise(widths)
    ]
    return nn.Sequential(*blocks, nn.Conv2d(widths[-1], outputs, 1))
