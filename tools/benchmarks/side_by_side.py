"""What the benchmarks share: things run in turn in one process, and where they ran."""

import platform
import resource
import statistics
import time
from collections.abc import Callable

import torch


def synchronise(device: torch.device) -> None:
    """Wait until a GPU has done what it was told."""
    if device.type == 'cuda':
        torch.cuda.synchronize(device)


def take_turns(
    candidates: dict[str, Callable[[], object]],
    repeats: int,
    device: torch.device,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, float]:
    """Median seconds of each function, called in turn; the first round only warms up.

    With ``time.process_time`` as the clock, seconds of this process on one core, whatever else the machine does.
    """
    seconds = {name: [] for name in candidates}
    for repeat in range(repeats + 1):
        for name, function in candidates.items():
            synchronise(device)
            start = clock()
            function()
            synchronise(device)
            if repeat:
                seconds[name].append(clock() - start)
    return {name: statistics.median(values) for name, values in seconds.items()}


def machine(device: torch.device) -> str:
    """Device or threads, versions and system, in a line."""
    where = torch.cuda.get_device_name(device) if device.type == 'cuda' else f'{torch.get_num_threads()} threads'
    return f'{where}, torch {torch.__version__}, {platform.platform()}'


def describe_memory(device: torch.device) -> str:
    """The peak so far, in a line."""
    if device.type == 'cuda':
        return f'peak memory of the device       {torch.cuda.max_memory_allocated(device) / 2**30:8.2f} GiB'
    return f'peak memory of the process      {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:8.2f} GiB'
