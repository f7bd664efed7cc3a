"""Scores of VOT's supervised experiment: a tracker that fails is started again.

Accuracy, robustness and expected average overlap (EAO) as the VOT toolkit defines them for VOT2015 to VOT2019. A
tracker fails in a frame where it does not overlap the target, and is started again five frames later.

Source: votchallenge/toolkit 0.9.0 (vot/analysis/supervised.py, vot/region/raster.py, vot/stack/vot2018/shortterm.yaml).
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

UNKNOWN, INITIALIZED, FAILED, TRACKED = range(4)
"""States of a frame: passed over after a failure; (re)started; failed; tracked. The first three are VOT's codes."""

BURN_IN = 10
"""Frames after a start, itself included, that do not count for accuracy."""

EAO_INTERVALS = dict(vot2016=(108, 371), vot2017=(100, 356), vot2018=(100, 356), vot2019=(46, 291))
"""Sequence lengths that EAO averages over, both included."""


class SupervisedRun(NamedTuple):
    """A tracker on a video, ``(T,)`` each.

    Attributes:
        overlap: Region overlap with the target, 0 to 1; counts where the state is ``TRACKED``.
        state: One of the states above.
    """

    overlap: np.ndarray
    state: np.ndarray


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


def run_accuracy(run: SupervisedRun, burn_in: int = BURN_IN) -> float:
    """Mean overlap of the tracked frames, without the ``burn_in`` frames from each start on; 0 if there are none."""
    counts = np.asarray(run.state) == TRACKED
    for start in np.flatnonzero(np.asarray(run.state) == INITIALIZED):
        counts[start : start + burn_in] = False
    return float(np.asarray(run.overlap)[counts].mean()) if counts.any() else 0.0


def eao_curve(runs: Sequence[SupervisedRun]) -> np.ndarray:
    """Expected average overlap by sequence length.

    A run is cut into pieces, each from a start to before the next failure. A piece that ends with a failure goes on
    with overlaps of 0; one that ends with its video counts for the lengths that it has.

    Returns:
        ``(L,)`` for the longest piece of L frames: at index n the mean over pieces of their mean overlap in the n
        frames after the start; 0 at index 0.

    Raises:
        ValueError: If there are no runs, or one does not begin with a start.
    """
    pieces = []
    for run in runs:
        overlap, state = np.asarray(run.overlap, np.float64), np.asarray(run.state)
        starts, failures = (np.flatnonzero(state == which) for which in (INITIALIZED, FAILED))
        if not len(starts) or starts[0] != 0 or len(starts) - len(failures) not in (0, 1):
            raise ValueError('a run must begin with a start, and have a start after each failure but the last')
        overlap = np.where(state == TRACKED, overlap, 0)
        ends = [*failures, len(state)]
        pieces += [(overlap[start:end], end < len(state)) for start, end in zip(starts, ends)]
    if not pieces:
        raise ValueError('there are no runs')
    total, weight = np.zeros((2, max(len(overlap) for overlap, _ in pieces)))
    for overlap, failed in pieces:
        length = len(total) if failed else len(overlap)
        summed = np.concatenate((overlap.cumsum(), np.full(len(total) - len(overlap), overlap.sum())))
        total[:length] += summed[:length] / np.arange(length).clip(1)
        weight[:length] += 1
    return total / weight


def expected_average_overlap(runs: Sequence[SupervisedRun], interval: tuple[int, int]) -> float:
    """EAO: the mean of :func:`eao_curve` over lengths from ``interval[0]`` to ``interval[1]``, both included, as far as
    there are any; NaN if there are none."""
    values = eao_curve(runs)[interval[0] : interval[1] + 1]
    return float(values.mean()) if len(values) else float('nan')


def accuracy_robustness(runs: Sequence[SupervisedRun]) -> tuple[float, float]:
    """Accuracy and robustness over videos.

    Returns:
        Accuracy, 0 to 1: the mean of :func:`run_accuracy`, weighted by the videos' numbers of frames; and failures in
        100 frames.
    """
    frames = np.array([len(run.state) for run in runs])
    failures = sum(np.count_nonzero(np.asarray(run.state) == FAILED) for run in runs)
    return float(np.average([run_accuracy(run) for run in runs], weights=frames)), 100 * failures / int(frames.sum())
