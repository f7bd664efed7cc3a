"""Comparison of arrays against recorded reference values."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

Arrays = Mapping[str, np.ndarray]
"""Arrays of a reference file by name."""


@dataclass(frozen=True)
class Difference:
    """How far one array is from its reference.

    Attributes:
        name: Name of the array in the reference file.
        value: Largest difference, in the measure that the tolerance is given in.
        tolerance: Largest value allowed; 0 demands equality.
        measure: ``'abs'``, ``'rel'`` or the name of a statistic.
    """

    name: str
    value: float
    tolerance: float
    measure: str = 'abs'

    @property
    def passed(self) -> bool:
        """Whether the difference is within its tolerance; NaN is not."""
        return self.value <= self.tolerance

    def __str__(self) -> str:
        verdict = 'ok  ' if self.passed else 'FAIL'
        return f'{verdict} {self.name:<48} {self.measure} {self.value:.3g} (tolerance {self.tolerance:g})'


@dataclass
class Report:
    """Differences found in one file."""

    differences: list[Difference] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        """Whether there is at least one comparison and none exceeds its tolerance."""
        return bool(self.differences) and all(difference.passed for difference in self.differences)

    def add(self, name: str, value: float, tolerance: float, measure: str) -> None:
        """Record a difference that was measured elsewhere."""
        self.differences.append(Difference(name, float(value), tolerance, measure))

    def compare(
        self, name: str, actual: Tensor | np.ndarray | float, expected: np.ndarray, atol: float = 0.0, rtol: float = 0.0
    ) -> None:
        """Compare an array with its reference, absolutely (``atol``, 0 for equality) or relative to each value
        (``rtol``). With both, ``atol`` is subtracted from the error first.

        A wrong shape is an infinite difference.
        """
        actual = actual.detach().cpu().numpy() if isinstance(actual, Tensor) else np.asarray(actual)
        measure, tolerance = ('rel', rtol) if rtol else ('abs', atol)
        if actual.shape != expected.shape:
            self.add(f'{name}: shape {actual.shape}, expected {expected.shape}', np.inf, tolerance, measure)
            return
        error = np.abs(actual.astype(np.float64) - expected.astype(np.float64))
        if rtol:
            error = np.maximum(error - atol, 0)
            scale = np.abs(expected.astype(np.float64))
            error = np.divide(error, scale, out=np.where(error > 0, np.inf, 0.0), where=scale > 0)
        self.add(name, error.max(initial=0.0), tolerance, measure)


def tensor(array: np.ndarray, dtype: torch.dtype | None = None) -> Tensor:
    """Array to tensor."""
    return torch.from_numpy(np.asarray(array)).to(dtype)


def read_state(arrays: Arrays) -> dict[str, Tensor]:
    """Parameters under ``state/*``."""
    return {key.removeprefix('state/'): tensor(arrays[key]) for key in arrays if key.startswith('state/')}


def read_config(arrays: Arrays) -> dict[str, Any]:
    """Numbers under ``cfg/*``."""
    return {key.removeprefix('cfg/'): arrays[key].tolist() for key in arrays if key.startswith('cfg/')}
