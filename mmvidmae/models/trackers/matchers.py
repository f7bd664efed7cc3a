"""How a frozen tracker finds a target in features: label propagation, or correlation with the first frame.

A matcher is stateless. It works in units of the crop that a tracker cuts around the last box: positions are (x, y) in
0..1, sizes (w, h) shares of the crop's side. ``start`` reads a target off the first crop, in whose middle it is.
``locate`` finds it in a later one.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from mmvidmae.registry import MODELS
from mmvidmae.structures.boxes import hann_window

from ..layers import require, require_whole
from ..propagation import top_affinities, transfer_labels


class Found(NamedTuple):
    """A located target.

    Attributes:
        center: Center (x, y).
        size: Size (w, h).
        score: Confidence in [0, 1].
        state: State of the matcher for the next frame.
    """

    center: Tensor
    size: Tensor
    score: float
    state: tuple


class PropagationState(NamedTuple):
    """State of a :class:`PropagationMatcher`.

    Attributes:
        features: Unit-length features ``(1 + Q, h, w, C)`` of the first frame and the last Q frames.
        masks: Soft masks ``(1 + Q, h, w)`` of these frames.
        center: Center of the box minus that of the mask in the first frame.
        spread: Standard deviations (x, y) of the mask in the first frame.
        size: Size of the box in the first frame.
    """

    features: Tensor
    masks: Tensor
    center: Tensor
    spread: Tensor
    size: Tensor


@MODELS.register_module()
class PropagationMatcher:
    """Propagates the box as a soft mask, and reads the box from the mask.

    The label of a cell is the mean label of the most similar cells of the first frame and of the last frames, as in
    :class:`LabelPropagator`. Position and size come from the moments of the mask, relative to those of the first frame,
    inside a window around the target (CAMSHIFT, Bradski 1998).

    Args:
        topk: Number of cells of the whole context that vote for a cell.
        queue: Number of recent frames in the context, besides the first frame.
        temperature: Temperature of the softmax over the ``topk`` cosine similarities.
        radius: Largest offset of voting cells along both axes, in cells of the crops; None for no limit.
        sigma: Standard deviation of the first mask in units of half the box. It falls off from the center as a Gaussian
            does, since the corners of a box show background. None for a plain box.
        reach: Side of the window around the target in units of its box. The mask outside of it is dropped.
        floor: Share of the mask's maximum that is subtracted before the moments are taken, 0 to 1 (excluded).

    Raises:
        ValueError: If a value is out of range.
    """

    scales = (1.0,)

    def __init__(
        self,
        topk: int = 5,
        queue: int = 7,
        temperature: float = 0.1,
        radius: float | None = None,
        sigma: float | None = 0.7,
        reach: float = 1.6,
        floor: float = 0.5,
    ) -> None:
        require_whole(self, topk=topk)
        require(isinstance(queue, int) and queue >= 0, self, 'queue', queue, 'a whole number of at least 0')
        require(temperature > 0, self, 'temperature', temperature, 'a positive number')
        require(radius is None or radius >= 0, self, 'radius', radius, 'at least 0 cells or None')
        require(sigma is None or sigma > 0, self, 'sigma', sigma, 'a positive number or None')
        require(reach >= 1, self, 'reach', reach, 'at least 1')
        require(0 <= floor < 1, self, 'floor', floor, 'at least 0 and below 1')
        self.topk, self.queue, self.temperature, self.radius = topk, queue, temperature, radius
        self.sigma, self.reach, self.floor = sigma, reach, floor

    def start(self, features: Tensor, inside: Tensor, size: Tensor) -> PropagationState:
        """Read a target off its first crop.

        Args:
            features: Unit-length features ``(C, h, w)``.
            inside: Share ``(h, w)`` of each cell that is not padding.
            size: Size (w, h) of the target.
        """
        middle = torch.full_like(size, 0.5)
        mask = box_mask(middle, size, inside.shape, self.sigma) * inside
        mask = mask / mask.max()
        center, spread = self._moments(mask, middle, size)
        return PropagationState(features.permute(1, 2, 0)[None], mask[None], middle - center, spread, size)

    def locate(self, state: PropagationState, features: Tensor, inside: Tensor, size: Tensor) -> Found:
        """Find the target.

        Args:
            state: State after the frame before.
            features: Unit-length features ``(1, C, h, w)``.
            inside: Share ``(1, h, w)`` of each cell that is not padding.
            size: Last size (w, h) of the target.
        """
        features, grid = features[0].permute(1, 2, 0), inside.shape[1:]
        affinities, indices = top_affinities(features.contiguous(), [state.features], self.topk, self.radius)
        mask = transfer_labels(state.masks.flatten()[:, None], affinities, indices, self.temperature)
        mask = mask.view(grid) * inside[0]
        center, spread = self._moments(mask, self._densest(mask, size), size)
        growth = spread / state.spread
        center, new_size = center + state.center * growth, state.size * growth
        box = box_mask(center, new_size, grid)
        score = float((mask * box).sum() / box.sum().clamp(min=1e-6))
        if not score > 0:  # nothing is left of the mask
            center, new_size, score = torch.full_like(size, 0.5), size, 0.0
        mask = mask * box_mask(center, self.reach * new_size, grid)  # votes elsewhere would add up over the frames
        first = max(1, len(state.masks) + 1 - self.queue)  # of the frames that stay in the queue
        frames = (
            torch.cat((old[:1], old[first:], new[None][: self.queue]))
            for old, new in ((state.features, features), (state.masks, mask))
        )
        state = PropagationState(*frames, *state[2:])
        return Found(center, new_size, min(score, 1.0), state)

    def _densest(self, mask: Tensor, size: Tensor) -> Tensor:
        """Position (x, y) at which a box has most of the mask, weighted with a Hann window."""
        height, width = mask.shape
        kernel = [2 * int(share * cells / 2) + 1 for share, cells in zip(size.flip(0).tolist(), mask.shape)]
        dense = F.avg_pool2d(mask[None, None], kernel, 1, [side // 2 for side in kernel])[0, 0]
        best = (dense * hann_window(height, width).to(mask)).flatten().argmax()
        return torch.stack(((best % width + 0.5) / width, (best // width + 0.5) / height)).to(mask)

    def _moments(self, mask: Tensor, center: Tensor, size: Tensor) -> tuple[Tensor, Tensor]:
        """Center and standard deviations (x, y) of a mask in the window around the target, which follows its center."""
        y, x = ((torch.arange(cells, device=mask.device) + 0.5) / cells for cells in mask.shape)
        mask = (mask - self.floor * mask.max()).clamp(min=0)
        for _ in range(5):
            weights = mask * box_mask(center, self.reach * size, mask.shape)
            total = weights.sum().clamp(min=1e-6)
            columns, rows = weights.sum(0) / total, weights.sum(1) / total
            center = torch.stack(((columns * x).sum(), (rows * y).sum()))
        variance = torch.stack(((columns * (x - center[0]) ** 2).sum(), (rows * (y - center[1]) ** 2).sum()))
        cell = torch.tensor(mask.shape[::-1], device=mask.device).reciprocal()
        return center, (variance + cell**2 / 12).sqrt()  # a cell has a width of its own


class CorrelationState(NamedTuple):
    """State of a :class:`CorrelationMatcher`.

    Attributes:
        kernel: Weighted features ``(1, C, a, b)`` of the target in the first frame. Their weights sum to 1.
    """

    kernel: Tensor


@MODELS.register_module()
class CorrelationMatcher:
    """Correlates the target's features in the first frame with those of the search region, at several scales, as
    SiamFC does (arXiv:1606.09549, section 3). The target's features are never updated.

    Args:
        scales: Scales of the search region, of which the best one sets the size.
        scale_penalty: Factor of the response at all scales but 1.
        window_influence: Share of a Hann window in the response, 0 to 1.
        upsample: Factor by which the response is enlarged (bicubic).
        sigma: As for :class:`PropagationMatcher`.

    Raises:
        ValueError: If a value is out of range.
    """

    def __init__(
        self,
        scales: tuple[float, ...] = (1 / 1.0375, 1.0, 1.0375),
        scale_penalty: float = 0.9745,
        window_influence: float = 0.176,
        upsample: int = 16,
        sigma: float | None = None,
    ) -> None:
        require(len(scales) > 0 and min(scales) > 0, self, 'scales', scales, 'positive numbers')
        require(0 < scale_penalty <= 1, self, 'scale_penalty', scale_penalty, 'above 0 and at most 1')
        require(0 <= window_influence <= 1, self, 'window_influence', window_influence, 'from 0 to 1')
        require_whole(self, upsample=upsample)
        require(sigma is None or sigma > 0, self, 'sigma', sigma, 'a positive number or None')
        self.scales, self.scale_penalty = tuple(scales), scale_penalty
        self.window_influence, self.upsample, self.sigma = window_influence, upsample, sigma

    def start(self, features: Tensor, inside: Tensor, size: Tensor) -> CorrelationState:
        """Read a target off its first crop; see :meth:`PropagationMatcher.start`."""
        weights = box_mask(torch.full_like(size, 0.5), size, inside.shape, self.sigma) * inside
        # symmetric about the middle of the crop, where the target is
        first = [int((side > 0).nonzero()[0]) for side in _sides(weights)]
        rows, columns = (slice(start, cells - start) for start, cells in zip(first, weights.shape))
        kernel = (features * weights / weights.sum())[:, rows, columns]
        return CorrelationState(kernel[None])

    def locate(self, state: CorrelationState, features: Tensor, inside: Tensor, size: Tensor) -> Found:
        """Find the target; see :meth:`PropagationMatcher.locate`. There is a map of features for each scale."""
        pad = [side // 2 for side in state.kernel.shape[2:]]
        response = F.conv2d(features, state.kernel, padding=pad)  # its middle is a target that has not moved
        sides = [(side - 1) * self.upsample + 1 for side in response.shape[2:]]
        response = F.interpolate(response, sides, mode='bicubic', align_corners=True)[:, 0]
        scales = response.new_tensor(self.scales)
        penalty = torch.where(scales == 1, 1.0, self.scale_penalty)
        best = (response.flatten(1).amax(1) * penalty).argmax()
        response = response[best]
        ranked = (response - response.min()) / (response.max() - response.min()).clamp(min=1e-6)
        share = self.window_influence
        ranked = (1 - share) * ranked + share * hann_window(*sides).to(ranked)
        index = ranked.flatten().argmax()
        offset = torch.stack((index % sides[1] - sides[1] // 2, index // sides[1] - sides[0] // 2))
        cells = offset.new_tensor(features.shape[:1:-1])
        center = 0.5 + scales[best] * offset / self.upsample / cells
        score = float(response.flatten()[index].clamp(0, 1))
        return Found(center, size * scales[best], score, state)


def _sides(weights: Tensor) -> tuple[Tensor, Tensor]:
    """Sums of a map and its point reflection, over columns and over rows."""
    whole = weights + weights.flip(0, 1)
    return whole.sum(1), whole.sum(0)


def box_mask(center: Tensor, size: Tensor, grid: tuple[int, int], sigma: float | None = None) -> Tensor:
    """Mask of a box on the cells of a crop: the share of each cell that the box covers.

    Args:
        center: Center (x, y) of the box in units of the crop.
        size: Size (w, h) of the box in units of the crop.
        grid: Number of rows and columns.
        sigma: Standard deviation of a Gaussian around the center, in units of half the box; None for a plain box.

    Returns:
        Mask ``(h, w)`` in [0, 1].
    """
    axes = []
    for middle, extent, cells in zip(center, size, reversed(grid)):
        edge = torch.arange(cells + 1, device=center.device) / cells
        start, stop = (middle + sign * extent / 2 for sign in (-1, 1))
        axis = (torch.minimum(edge[1:], stop) - torch.maximum(edge[:-1], start)).clamp(min=0) * cells
        if sigma is not None:
            place = (edge[1:] + edge[:-1]) / 2
            axis = axis * torch.exp(-0.5 * ((place - middle) / (sigma * extent / 2)) ** 2)
        axes.append(axis)
    return axes[1][:, None] * axes[0]
