"""Scores of VOT's supervised experiment, in which a tracker is initialized again after a failure.

Accuracy, robustness and expected average overlap (EAO) are those of the VOT toolkit for VOT2015 to VOT2019. A tracker
fails in a frame where it does not overlap the target. It is initialized again five frames later.

Source: votchallenge/toolkit 0.9.0 (vot/analysis/supervised.py, vot/region/raster.py, vot/stack/vot2018/shortterm.yaml).
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from mmvidmae.structures.regions import FAILED, INITIALIZED, TRACKED

BURN_IN = 10
"""Number of frames from an initialization on, itself included, that do not count for accuracy."""

EAO_INTERVALS = dict(vot2016=(108, 371), vot2017=(100, 356), vot2018=(100, 356), vot2019=(46, 291))
"""Intervals of sequence lengths over which EAO averages, both ends included."""


class SupervisedRun(NamedTuple):
    """Run of a tracker on a video, ``(T,)`` each.

    Attributes:
        overlap: Region overlap with the target, 0 to 1. It counts in frames with state ``TRACKED``.
        state: State of each frame, a code of :mod:`mmvidmae.structures.regions`.
    """

    overlap: np.ndarray
    state: np.ndarray


def run_accuracy(run: SupervisedRun, burn_in: int = BURN_IN) -> float:
    """Mean overlap of the tracked frames, without the ``burn_in`` frames from each initialization on; 0 if there are
    none."""
    counts = np.asarray(run.state) == TRACKED
    for start in np.flatnonzero(np.asarray(run.state) == INITIALIZED):
        counts[start : start + burn_in] = False
    return float(np.asarray(run.overlap)[counts].mean()) if counts.any() else 0.0


def eao_curve(runs: Sequence[SupervisedRun]) -> np.ndarray:
    """Compute the expected average overlap by sequence length.

    Each run is cut into segments, from an initialization to the frame before the next failure. A segment that ends with
    a failure is extended with overlaps of 0. A segment that ends with its video counts only for the lengths it reaches.

    Returns:
        Curve ``(L,)``, where L is the length of the longest segment. Entry n is the mean overlap in the n frames after
        the initialization, averaged over segments. Entry 0 is 0.

    Raises:
        ValueError: If there are no runs, or a run does not begin with an initialization.
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
    """EAO: the mean of :func:`eao_curve` over the lengths from ``interval[0]`` to ``interval[1]``, both included. Only
    lengths on the curve count; NaN if there are none."""
    values = eao_curve(runs)[interval[0] : interval[1] + 1]
    return float(values.mean()) if len(values) else float('nan')


def accuracy_robustness(runs: Sequence[SupervisedRun]) -> tuple[float, float]:
    """Compute accuracy and robustness over videos.

    Returns:
        Accuracy, 0 to 1: the mean of :func:`run_accuracy`, weighted by the number of frames of each video. Robustness:
        failures per 100 frames.
    """
    frames = np.array([len(run.state) for run in runs])
    failures = sum(np.count_nonzero(np.asarray(run.state) == FAILED) for run in runs)
    return float(np.average([run_accuracy(run) for run in runs], weights=frames)), 100 * failures / int(frames.sum())
