"""The parts of the VOT toolkit that mmtrack uses: regions and their overlap.

Why: mmtrack's ``test_mode='VOT'`` and ``SOTMetric(metric='VOT')`` import ``vot-toolkit``. Its release 0.9.0 moved the
names that they use (``vot.region.Special.FAILURE``), and requires numba, opencv-python and more.

Until: a mmtrack that computes overlaps by itself.
"""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import ModuleType

import numpy as np

from mmvidmae.structures.regions import FAILED, INITIALIZED, UNKNOWN, region_overlap


class Region(np.ndarray):
    """A region as an array of numbers: a code, (x, y, w, h), or corners (x1, y1, x2, y2, ...)."""

    def __new__(cls, *values: float | Sequence[Sequence[float]]) -> 'Region':
        return np.array(values, np.float64).ravel().view(cls)


class Special(Region):
    """A frame without a region, with a code for the reason."""

    UNKNOWN, INITIALIZATION, FAILURE = UNKNOWN, INITIALIZED, FAILED


def is_special(region: Region, code: int) -> bool:
    """Whether a region is this code."""
    return len(region) == 1 and region[0] == code


def calculate_overlap(first: Region, second: Region, bounds: tuple[int, int]) -> float:
    """Overlap of two regions in an image of (width, height), 0 if one is a code."""
    return 0.0 if 1 in (len(first), len(second)) else region_overlap(first, second, bounds)


def calculate_overlaps(first: Sequence[Region], second: Sequence[Region], bounds: tuple[int, int]) -> list[float]:
    """Overlaps of the frames of two trajectories."""
    return [calculate_overlap(*pair, bounds) for pair in zip(first, second, strict=True)]


@contextmanager
def vot_regions() -> Iterator[None]:
    """Replace the VOT toolkit by this module for mmtrack. Other code does not see it."""
    vot, analysis, region = (ModuleType(name) for name in ('vot', 'vot.analysis', 'vot.region'))
    analysis.is_special = is_special
    region.Polygon = region.Rectangle = Region
    region.Special = Special
    region.calculate_overlap, region.calculate_overlaps = calculate_overlap, calculate_overlaps
    own = {module.__name__: module for module in (vot, analysis, region)}
    found = {name: sys.modules[name] for name in sys.modules if name.partition('.')[0] == 'vot'}
    for name in found:
        del sys.modules[name]
    sys.modules.update(own)
    try:
        yield
    finally:
        for name in own:
            del sys.modules[name]
        sys.modules.update(found)
