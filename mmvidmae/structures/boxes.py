"""Between frames, crops and boxes: the geometry of OSTrack, which DropTrack shares.

Boxes are (x, y, w, h) with the upper-left corner, or (cx, cy, w, h), in pixels. A crop is a square around a box, cut
from the frame with zeros outside, and resized. Its corner is rounded half to even, and a crop that reaches the frame's
last column or row loses it to the padding, as in the published code, whose functions are named in brackets.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor

Box = Sequence[float]


def check_box(box: Box, frame_size: tuple[int, int]) -> list[float]:
    """The box that a target is given by, as floats.

    Args:
        box: (x, y, w, h) in pixels.
        frame_size: (height, width) in pixels of its frame.

    Raises:
        ValueError: If it is not four finite numbers, has no area, or does not overlap the frame.
    """
    try:
        values = [float(value) for value in box]
    except (TypeError, ValueError):
        values = []
    if len(values) != 4:
        raise ValueError(f'the first box must be four numbers (x, y, w, h) in pixels, got {box}')
    x, y, width, height = values
    height_of_frame, width_of_frame = frame_size
    if not all(map(math.isfinite, values)) or width <= 0 or height <= 0:
        raise ValueError(f'the first box (x, y, w, h) = {_listing(values)} has no positive, finite area')
    if x >= width_of_frame or y >= height_of_frame or x + width <= 0 or y + height <= 0:
        raise ValueError(
            f'the first box (x, y, w, h) = {_listing(values)} lies outside the frame of {width_of_frame} x '
            f'{height_of_frame} pixels (width x height)'
        )
    return values


def box_around(region: Tensor) -> list[float]:
    """Upright box of a region.

    Args:
        region: (x1, y1, x2, y2), or four corners (x1, y1, x2, y2, x3, y3, x4, y4), in pixels, in a tensor of any shape.

    Returns:
        (x, y, w, h). For corners, a box of the region's center, area and bounding box's aspect ratio (pysot).
    """
    values = region.flatten()
    if len(values) == 4:
        x1, y1, x2, y2 = values.tolist()
        return [x1, y1, x2 - x1, y2 - y1]
    corners = values.unflatten(0, (4, 2))
    extent = corners.amax(0) - corners.amin(0)
    area = (corners[0] - corners[1]).norm() * (corners[1] - corners[2]).norm()
    size = extent * (area / extent.prod()).sqrt()
    return [*(corners.mean(0) - size / 2).tolist(), *size.tolist()]


def crop_side(box: Box, factor: float) -> int:
    """Side in pixels of the crop around ``box``: ``factor`` times the square root of its area, rounded up.

    Raises:
        ValueError: If the box is not finite or its area is not positive.
    """
    width, height = box[2:]
    if not all(map(math.isfinite, box)) or width <= 0 or height <= 0:
        raise ValueError(f'cannot crop around the box (x, y, w, h) = {_listing(box)}: it has no positive, finite area')
    return math.ceil(math.sqrt(width * height) * factor)


@dataclass(frozen=True)
class Window:
    """The square of a frame that a crop shows.

    Attributes:
        inside: The part of it to take from the frame, (x1, y1, x2, y2), ends excluded; empty if it lies outside.
        padding: Zeros to add at the left, right, top and bottom.
    """

    inside: tuple[int, int, int, int]
    padding: tuple[int, int, int, int]

    @classmethod
    def around(cls, box: Box, side: int, frame_size: tuple[int, int]) -> 'Window':
        """The square of ``side`` pixels centerd on ``box``, in a frame of (height, width)."""
        spans = [
            _span(start, extent, side, size) for start, extent, size in zip(box[:2], box[2:], reversed(frame_size))
        ]
        (x1, x2, left, right), (y1, y2, top, bottom) = spans
        return cls((x1, y1, x2, y2), (left, right, top, bottom))


def _span(start: float, extent: float, side: int, size: int) -> tuple[int, int, int, int]:
    """Along one axis: first and last pixel (excluded) inside the frame, and the padding before and after."""
    first = round(start + 0.5 * extent - 0.5 * side)
    before = min(max(0, -first), side)
    after = min(max(0, first + side - size + 1), side - before)
    return first + before, first + side - after, before, after


def sample_crop(image: np.ndarray, box: Box, factor: float, out_size: int) -> tuple[np.ndarray, float]:
    """Cut and resize the square around a box (``sample_target``).

    Args:
        image: ``(H, W, C)`` uint8.
        box: (x, y, w, h) in pixels.
        factor: Side of the crop in units of the square root of the box's area.
        out_size: Side of the result in pixels.

    Returns:
        The crop ``(out_size, out_size, C)``, and the factor by which it was resized.

    Raises:
        ValueError: If the box is not finite or its area is not positive.
    """
    side = crop_side(box, factor)
    window = Window.around(box, side, image.shape[:2])
    x1, y1, x2, y2 = window.inside
    left, right, top, bottom = window.padding
    crop = cv2.copyMakeBorder(image[y1:y2, x1:x2], top, bottom, left, right, cv2.BORDER_CONSTANT)
    return cv2.resize(crop, (out_size, out_size)), out_size / side


def crop_padding(frame_size: tuple[int, int], box: Box, factor: float, out_size: int) -> np.ndarray:
    """Where a crop of :func:`sample_crop` is padding, if only in part: ``(out_size, out_size)`` bool.

    Args:
        frame_size: (height, width) in pixels.
        box: As for :func:`sample_crop`, like ``factor`` and ``out_size``.

    Raises:
        ValueError: If the box is not finite or its area is not positive.
    """
    side = crop_side(box, factor)
    left, right, top, bottom = Window.around(box, side, frame_size).padding
    padding = np.ones((side, side), np.float32)
    padding[top : side - bottom, left : side - right] = 0
    return cv2.resize(padding, (out_size, out_size)).astype(bool)


def box_to_crop(box: Box, around: Box, resize_factor: float, out_size: int) -> np.ndarray:
    """Where a box of the frame lies in a crop, in training (``transform_image_to_crop``).

    Training takes (out_size - 1) / 2 for the center of the crop, :func:`box_to_frame` takes out_size / 2, as published.

    Args:
        box: (x, y, w, h) in pixels of the frame.
        around: The box that the crop was cut around, likewise.
        resize_factor: By which the crop was resized.
        out_size: Side of the crop in pixels.

    Returns:
        (x, y, w, h) in pixels of the crop.
    """
    box, around = np.asarray(box), np.asarray(around)
    size = box[2:] * resize_factor
    shift = (box[:2] + 0.5 * box[2:]) - (around[:2] + 0.5 * around[2:])
    center = (out_size - 1) / 2 + shift * resize_factor
    return np.concatenate((center - 0.5 * size, size))


def box_to_frame(box: Box, around: Box, resize_factor: float, out_size: int) -> list[float]:
    """Where a predicted box of a crop lies in the frame (``map_box_back``).

    Args:
        box: (cx, cy, w, h) in units of the crop's side.
        around: The box (x, y, w, h) in pixels of the frame that the crop was cut around.
        resize_factor: By which the crop was resized.
        out_size: Side of the crop in pixels.

    Returns:
        (x, y, w, h) in pixels of the frame.
    """
    side = out_size / resize_factor
    cx, cy, width, height = (side * value for value in box)
    x = around[0] + 0.5 * around[2] - 0.5 * side + cx - 0.5 * width
    y = around[1] + 0.5 * around[3] - 0.5 * side + cy - 0.5 * height
    return [x, y, width, height]


def clip_box(box: Box, frame_size: tuple[int, int], margin: float = 0) -> list[float]:
    """Cut a box at the borders of the frame, leaving at least ``margin`` pixels of it there (``clip_box``).

    A box that has left the frame becomes a box of ``margin`` pixels at the border where it left. Boxes smaller than the
    margin are enlarged without moving their corner.

    Args:
        box: (x, y, w, h) in pixels.
        frame_size: (height, width) in pixels.
        margin: Smallest side in pixels.

    Returns:
        (x, y, w, h) in pixels.
    """
    spans = []
    for start, extent, size in zip(box[:2], box[2:], reversed(frame_size)):
        first = min(max(0, start), size - margin)
        last = min(max(margin, start + extent), size)
        spans.append((first, max(margin, last - first)))
    return [start for start, _ in spans] + [extent for _, extent in spans]


def hann_window(height: int, width: int) -> Tensor:
    """Centerd Hann window ``(height, width)`` without zeros at the border (``hann2d``)."""
    rows, columns = (torch.hann_window(size + 2, periodic=False)[1:-1] for size in (height, width))
    return rows[:, None] * columns


def _listing(box: Box) -> str:
    return '(' + ', '.join(f'{float(value):g}' for value in box) + ')'
