"""Scores of VOT's supervised experiment: a tracker that fails is started again.

Accuracy, robustness and expected average overlap (EAO) as the VOT toolkit defines them for VOT2015 to VOT2019. A
tracker fails in a frame where it does not overlap the target, and is started again five frames later.

Source: votchallenge/toolkit 0.9.0 (vot/analysis/supervised.py, vot/region/raster.py, vot/stack/vot2018/shortterm.yaml).
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from mmvidmae.structures.regions import FAILED, INITIALIZED, TRACKED

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
