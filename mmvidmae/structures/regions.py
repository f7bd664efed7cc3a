"""Regions of a target as VOT describes them: boxes, polygons, and codes of frames without one.

Source: votchallenge/toolkit 0.9.0 (vot/region/raster.py).
"""

from collections.abc import Sequence

import numpy as np

UNKNOWN, INITIALIZED, FAILED, TRACKED = range(4)
"""States of a frame: passed over after a failure; (re)started; failed; tracked. The first three are VOT's codes."""


def region_overlap(first: Sequence[float], second: Sequence[float], image_size: tuple[int, int]) -> float:
    """Overlap of two regions by counting pixels inside the image, as VOT does.

    Coordinates are rounded half to even. A rectangle covers ``round(w)`` columns from ``round(x)`` on; a polygon covers
    its border too.

    Args:
        first: (x, y, w, h), or the corners of a polygon (x1, y1, x2, y2, ...), in pixels.
        second: Likewise.
        image_size: (width, height) in pixels.

    Returns:
        Intersection over union, 0 to 1. As in the toolkit, 1 where both regions together are at most one pixel wide or
        high, and 0 where what is in the image is.
    """
    regions = [np.round(np.asarray(region, np.float32)).astype(np.float64) for region in (first, second)]
    bounds = np.array([_bounds(region) for region in regions])
    low, high = bounds[:, :2].min(0), bounds[:, 2:].max(0)
    if (low >= high).any():
        return 1.0
    low, high = np.maximum(low, 0), np.minimum(high, np.asarray(image_size) - 1)
    if (low >= high).any():
        return 0.0
    one, two = (_raster(region, low.astype(int), high.astype(int)) for region in regions)
    union = np.count_nonzero(one | two)
    return np.count_nonzero(one & two) / union if union else 0.0


def _bounds(region: np.ndarray) -> np.ndarray:
    """First and last column and row (x1, y1, x2, y2)."""
    if len(region) == 4:
        return np.concatenate((region[:2], region[:2] + region[2:] - 1))
    points = region.reshape(-1, 2)
    return np.concatenate((points.min(0), points.max(0)))


def _raster(region: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Pixels of a region among those from ``low`` (x, y) to ``high``: bool ``(H, W)``."""
    width, height = high - low + 1
    columns, rows = np.arange(width), np.arange(height)
    if len(region) == 4:
        x1, y1, x2, y2 = _bounds(region) - np.tile(low, 2)
        return ((rows >= y1) & (rows <= y2))[:, None] & ((columns >= x1) & (columns <= x2))
    end = region.reshape(-1, 2) - low
    start = np.roll(end, 1, axis=0)
    run, rise = (start - end).T
    # where each edge meets each row; columns are cut towards zero
    meets = (np.minimum(start, end)[:, 1] <= rows[:, None]) & (rows[:, None] <= np.maximum(start, end)[:, 1])
    with np.errstate(divide='ignore', invalid='ignore'):
        along = (rows[:, None] - end[:, 1]) / rise * run
    crossing = np.trunc(end[:, 0] + np.where(rise == 0, 0, along))
    crossing = np.sort(np.where(meets, crossing, np.inf), axis=1)
    number = meets.sum(1)
    mask = np.zeros((height, width), bool)
    place = np.zeros(height, int)
    for _ in range(len(end)):  # spans between pairs of crossings; of two equal ones the first is passed over
        active = place < number - 1
        left, right = (np.take_along_axis(crossing, np.minimum(place + i, len(end) - 1)[:, None], 1) for i in (0, 1))
        twice = active & (left == right)[:, 0] & (place < number - 2)
        mask |= (active & ~twice)[:, None] & (columns >= left) & (columns <= right)
        place += np.where(twice, 1, 2)
    return mask
