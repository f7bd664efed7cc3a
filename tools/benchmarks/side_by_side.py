"""Shared code of the benchmarks: a training step, functions timed in turn, and a description of the machine."""

import platform
import resource
import statistics
import time
from collections.abc import Callable
from contextlib import nullcontext

import torch
from torch import Tensor, nn


class TrainingStep:
    """Forward, backward and AdamW, always on the same pairs.

    Args:
        model: A pair model, plain or distributed, on the device.
        frames: Normalized pairs ``(N, 2, 3, H, W)``.
        amp: Type of mixed precision, with a dynamic loss scale for float16; None for single precision.
        fused: Whether AdamW is the fused one, as in our recipes, or torch's default.
    """

    def __init__(self, model: nn.Module, frames: Tensor, amp: torch.dtype | None = None, fused: bool = True) -> None:
        self.model, self.frames, self.amp, self.device = model, frames, amp, frames.device
        self.optimizer = torch.optim.AdamW(model.parameters(), 1e-4, (0.9, 0.95), weight_decay=0.05, fused=fused)
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=amp == torch.float16)

    def __call__(self) -> Tensor:
        """Take the step. Returns its loss on the device."""
        self.optimizer.zero_grad(set_to_none=True)
        with torch.autocast(self.device.type, self.amp) if self.amp else nullcontext():
            loss = self.model(self.frames, mode='loss')['loss']
        self.scaler.scale(loss).backward()
        self.scaler.step(self.optimizer)
        self.scaler.update()
        return loss.detach()


def peak_memory(step: Callable[[], object], device: torch.device) -> float:
    """GPU memory in GiB that a call needs in addition, after one call to warm up."""
    step()
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device)
    step()
    return (torch.cuda.max_memory_allocated(device) - before) / 2**30


def synchronize(device: torch.device) -> None:
    """Wait until a GPU has finished its work."""
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
            synchronize(device)
            start = clock()
            function()
            synchronize(device)
            if repeat:
                seconds[name].append(clock() - start)
    return {name: statistics.median(values) for name, values in seconds.items()}


def machine(device: torch.device) -> str:
    """Device or threads, versions and system, in a line."""
    where = torch.cuda.get_device_name(device) if device.type == 'cuda' else f'{torch.get_num_threads()} threads'
    return f'{where}, torch {torch.__version__}, {platform.platform()}'


def describe_memory(device: torch.device) -> str:
    """Describe the peak so far in a line."""
    if device.type == 'cuda':
        return f'peak memory of the device       {torch.cuda.max_memory_allocated(device) / 2**30:8.2f} GiB'
    return f'peak memory of the process      {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:8.2f} GiB'
