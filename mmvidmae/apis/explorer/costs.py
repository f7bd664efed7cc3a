"""Where time and memory go: a record of measured steps, and a cache of limited size."""

import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch

STATUS, PEAK = Path('/proc/self/status'), Path('/proc/self/clear_refs')


class Step(NamedTuple):
    """A measured step.

    Attributes:
        name: What was done.
        model: Name of the model, or ``''``.
        seconds: Elapsed time, without that of the steps inside it.
        cpu_seconds: The same of all threads of the process.
        mebibytes: Largest memory during the step above that before it, of the process or of the GPU; None if it cannot
            be measured here.
    """

    name: str
    model: str
    seconds: float
    cpu_seconds: float
    mebibytes: float | None


class _Running:
    """A step that is being measured: what the steps inside it took, and the largest memory so far in MiB."""

    def __init__(self) -> None:
        self.seconds = self.cpu_seconds = self.peak = 0.0


class Costs:
    """Record of the last steps. Steps run one at a time, so that their figures are theirs alone."""

    def __init__(self, number: int = 500) -> None:
        self.steps: deque[Step] = deque(maxlen=number)
        self._lock = threading.RLock()
        self._running: list[_Running] = []

    @contextmanager
    def measure(self, name: str, model: str = '') -> Iterator[None]:
        """Measure the block. The times of a step inside another one count for the inner step alone."""
        with self._lock:
            if self._running:  # the peak begins again with the inner step
                self._running[-1].peak = max(self._running[-1].peak, _memory('VmHWM') or 0.0)
            before = _start_memory()
            self._running.append(step := _Running())
            begin, cpu = time.perf_counter(), time.process_time()
            try:
                yield
            finally:
                seconds, cpu = time.perf_counter() - begin, time.process_time() - cpu
                peak = max(step.peak, _memory('VmHWM') or 0.0)
                self._running.pop()
                if self._running:
                    outer = self._running[-1]
                    outer.seconds, outer.cpu_seconds = outer.seconds + seconds, outer.cpu_seconds + cpu
                    outer.peak = max(outer.peak, peak)
            grown = None if before is None else max(0.0, peak - before)
            self.steps.append(Step(name, model, seconds - step.seconds, cpu - step.cpu_seconds, grown))

    def summary(self) -> list[Step]:
        """One entry for each kind of step, in the order of their first appearance: mean times, largest memory."""
        groups: dict[tuple[str, str], list[Step]] = {}
        for step in list(self.steps):
            groups.setdefault((step.name, step.model), []).append(step)
        return [
            Step(
                f'{name} ({len(steps)} x)',
                model,
                sum(step.seconds for step in steps) / len(steps),
                sum(step.cpu_seconds for step in steps) / len(steps),
                max((step.mebibytes for step in steps if step.mebibytes is not None), default=None),
            )
            for (name, model), steps in groups.items()
        ]


def _start_memory() -> float | None:
    """MiB in use; the peak starts from there."""
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
        return torch.cuda.memory_allocated() / 2**20
    try:
        PEAK.write_text('5')  # Linux: the peak of the resident memory becomes the present one
    except OSError:
        return None
    return _memory('VmRSS')


def _memory(field: str) -> float | None:
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 2**20
    try:
        (line,) = (line for line in STATUS.read_text().splitlines() if line.startswith(field))
    except (OSError, ValueError):
        return None
    return int(line.split()[1]) / 1024


class Cache:
    """Keeps the values that were used last.

    Args:
        limit: Sum of the sizes of the values that are kept.
    """

    def __init__(self, limit: float) -> None:
        self.limit, self.used = limit, 0.0
        self._values: OrderedDict[Hashable, tuple[Any, float]] = OrderedDict()
        self._lock = threading.RLock()

    def get(self, key: Hashable, make: Callable[[], Any], size: Callable[[Any], float] = lambda value: 1) -> Any:
        """The value of a key; it is made if it is not there. A value above the limit is not kept."""
        with self._lock:
            if key in self._values:
                self._values.move_to_end(key)
                return self._values[key][0]
        value = make()
        with self._lock:
            if key not in self._values and (needed := size(value)) <= self.limit:
                self._values[key] = value, needed
                self.used += needed
                while self.used > self.limit:
                    self.used -= self._values.popitem(last=False)[1][1]
        return value

    def __contains__(self, key: Hashable) -> bool:
        return key in self._values
