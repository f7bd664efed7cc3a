"""Measure a training step (forward, backward, AdamW) with gradient checkpointing, torch.compile, the mixed precision of
CPUs, and more processes.

Step times are medians. The steps of one process take turns in it, and a single process takes turns with all processes
together. Memory is the peak of weights, gradients, optimizer and activations of a process, measured separately for each
variant. Losses are compared first.

Example:
    python tools/benchmarks/scaling.py dropmae                            # ViT-B/16, 224 px, batch 2, fp32, one thread
    python tools/benchmarks/scaling.py siammae --parts compile --threads 2
    python tools/benchmarks/scaling.py dropmae --arch large --batch 1 --parts processes
    python tools/benchmarks/scaling.py siammae --parts precision --cpu-time     # on a busy machine
    python tools/benchmarks/scaling.py dropmae --device cuda --amp bfloat16 --batch 64 --parts checkpointing compile
"""

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from mmvidmae.utils.interrupt import leave_on_interrupt

PARTS = {
    'checkpointing': ('checkpointed',),
    'compile': ('compiled',),
    'precision': ('bfloat16', 'bf16 for CPUs'),
    'processes': ('DDP', 'FSDP'),
}
"""Variants that each part compares with the plain step (``processes``: with one process)."""


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('method', choices=('dropmae', 'siammae'))
    parser.add_argument('--parts', nargs='+', choices=PARTS, help='what to measure (default: all of the device)')
    parser.add_argument('--arch', help="of the encoder (default: 'base' for DropMAE, 'small' for SiamMAE)")
    parser.add_argument('--img-size', type=int, default=224)
    parser.add_argument('--patch-size', type=int, default=16)
    parser.add_argument('--batch', type=int, default=2, help='pairs of a process (default: %(default)s)')
    parser.add_argument('--repeats', type=int, default=5)
    parser.add_argument('--processes', type=int, default=2)
    parser.add_argument('--threads', type=int, default=1, help='of a process (default: %(default)s)')
    parser.add_argument('--device', choices=('cpu', 'cuda'), default='cpu')
    parser.add_argument('--amp', choices=('bfloat16', 'float16'))
    parser.add_argument('--cpu-time', action='store_true', help='CPU seconds in place of wall time, but for processes')
    return parser


if __name__ == '__main__':
    make_parser().parse_args()  # answers --help and refuses mistakes before the imports below, which take seconds

import torch  # noqa: E402
import torch.distributed as dist  # noqa: E402
from side_by_side import TrainingStep, machine, synchronize, take_turns  # noqa: E402
from torch import Tensor, multiprocessing, nn  # noqa: E402
from torch.nn.parallel import DistributedDataParallel  # noqa: E402

from mmvidmae.engine.optimizers.cpu_amp_optim_wrapper import AttentionInFloat32  # noqa: E402
from mmvidmae.engine.strategies.fsdp import shard  # noqa: E402
from mmvidmae.models.selfsup import DropMAE, SiamMAE  # noqa: E402


def make_step(
    args: argparse.Namespace,
    wrap: Callable[[nn.Module], nn.Module] | None = None,
    with_cp: bool = False,
    amp: str | None = None,
    mode: Callable[[], AbstractContextManager] = nullcontext,
    **options,
) -> Callable[[], Tensor]:
    """A training step of the method and sizes of the command line, always of the same pairs.

    Args:
        args: Of the command line.
        wrap: What makes a distributed model of a model.
        with_cp: Whether blocks are checkpointed.
        amp: Type of mixed precision in place of that of the command line.
        mode: Makes the context in which the step runs.
        **options: Of the model: ``compile``.
    """
    torch.manual_seed(0)
    backbone = dict(arch=args.arch, img_size=args.img_size, patch_size=args.patch_size, with_cp=with_cp)
    model = dict(dropmae=DropMAE, siammae=SiamMAE)[args.method](
        backbone=backbone, neck=dict(with_cp=with_cp), **options
    )
    model = (wrap or nn.Identity())(model.to(args.device).train())
    frames = torch.randn(args.batch, 2, 3, args.img_size, args.img_size, device=args.device)
    amp = amp or args.amp
    step = TrainingStep(model, frames, getattr(torch, amp) if amp else None)

    def run() -> Tensor:
        with mode():
            return step()

    return run


def resident(what: str) -> float:
    """GiB of memory that this process has now (``'VmRSS'``) or had at most (``'VmHWM'``; ru_maxrss is the parent's)."""
    (line,) = (line for line in Path('/proc/self/status').read_text().splitlines() if line.startswith(what))
    return int(line.split()[1]) / 2**20


def in_processes(function: Callable, number: int, args: argparse.Namespace) -> object:
    """Call ``function(args)`` in new processes, a group if there are several; what the first one returns."""
    context = multiprocessing.get_context('spawn')
    results = context.SimpleQueue()
    with tempfile.TemporaryDirectory() as folder:
        store = f'file://{folder}/store'
        workers = [
            context.Process(target=_work, args=(function, rank, number, store, args, results)) for rank in range(number)
        ]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
    if any(worker.exitcode for worker in workers):
        sys.exit('a process failed, see above')
    return results.get()


def _work(function: Callable, rank: int, number: int, store: str, args: argparse.Namespace, results) -> None:
    torch.set_num_threads(args.threads)
    os.environ['LOCAL_RANK'] = str(rank)
    if args.device == 'cuda':
        torch.cuda.set_device(rank)
    if number > 1:
        backend = 'nccl' if args.device == 'cuda' else 'gloo'
        dist.init_process_group(backend, init_method=store, rank=rank, world_size=number)
    result = function(args)
    if rank == 0:
        results.put(result)
    if number > 1:
        dist.barrier()
        dist.destroy_process_group()


def peak(args: argparse.Namespace) -> float:
    """GiB that two steps of ``args.variant`` need above what the process had before there was a model."""
    before = resident('VmRSS')
    step = make_step(args, **VARIANTS[args.variant])
    step()
    step()
    if args.device == 'cuda':
        return torch.cuda.max_memory_allocated() / 2**30
    return resident('VmHWM') - before


def each_alone(args: argparse.Namespace) -> dict[str, float]:
    """Seconds of a step of each of ``args.variants`` in this process, in turns."""
    steps, losses = {}, {}
    for name in args.variants:
        steps[name] = make_step(args, **VARIANTS[name])
        start = time.perf_counter()
        torch.manual_seed(1)
        losses[name] = steps[name]().item()
        if name == 'compiled':
            print(f'compiling took {time.perf_counter() - start:.0f} s')
    compare(losses)
    clock = time.process_time if args.cpu_time else time.perf_counter
    return take_turns(steps, args.repeats, torch.device(args.device), clock)


def one_against_all(args: argparse.Namespace) -> dict[str, float]:
    """Seconds of a step of rank 0 alone, and of all ranks with DDP and FSDP, in turns."""
    device = torch.device(args.device)
    names = ('plain', 'DDP', 'FSDP')
    steps = {name: make_step(args, **VARIANTS[name]) for name in names if name != 'plain' or dist.get_rank() == 0}
    seconds = {name: [] for name in names}
    losses = {}
    for repeat in range(args.repeats + 1):
        for name in names:
            dist.barrier()
            start = time.perf_counter()
            if name in steps:
                loss = steps[name]().item()
                losses.setdefault(name, loss)
            synchronize(device)
            if repeat:
                seconds[name].append(time.perf_counter() - start)
    if dist.get_rank() == 0:
        compare(losses)
    return {name: statistics.median(values) for name, values in seconds.items()}


def compare(losses: dict[str, float]) -> None:
    """First losses, which differ by rounding and, compiled, by the drops of DropMAE."""
    if max(losses.values()) - min(losses.values()) > 0.01 * min(losses.values()):
        sys.exit(f'these are not the same step: first losses {losses}')


VARIANTS = {
    'plain': dict(),
    'checkpointed': dict(with_cp=True),
    'compiled': dict(compile=True),
    'bfloat16': dict(amp='bfloat16'),
    'bf16 for CPUs': dict(amp='bfloat16', mode=AttentionInFloat32),  # as CPUAmpOptimWrapper does
    'DDP': dict(wrap=DistributedDataParallel),
    'FSDP': dict(wrap=shard),
}


def main() -> None:
    parser = make_parser()
    args = parser.parse_args()
    args.arch = args.arch or ('base' if args.method == 'dropmae' else 'small')
    device = torch.device(args.device)
    args.parts = args.parts or [part for part in PARTS if part != 'precision' or args.device == 'cpu']
    torch.set_num_threads(args.threads)
    print(
        f'{args.method} {args.arch}/{args.patch_size}, {args.img_size} px, batch {args.batch}, {args.amp or "float32"}'
    )
    print(f'{machine(device)}, medians of {args.repeats}')

    seconds = {}
    names = [name for part in PARTS if part in args.parts and part != 'processes' for name in PARTS[part]]
    if names:
        args.variants = ('plain', *names)
        seconds = in_processes(each_alone, 1, args)
    alone, number = 'plain', 1
    if 'processes' in args.parts:
        number = args.processes
        group = in_processes(one_against_all, number, args)
        alone = 'one process'
        seconds |= {alone: group.pop('plain'), **group}

    print(f'{"":<14}{"ms a step":>10}{"pairs/s":>9}{"GiB a process":>15}')
    for name, value in seconds.items():
        processes = number if name in PARTS['processes'] else 1
        memory = ''
        if name != 'one process':
            args.variant = name
            memory = f'{in_processes(peak, processes, args):15.2f}'
        print(f'{name:<14}{1000 * value:10.1f}{processes * args.batch / value:9.2f}{memory}')
    for name in names:
        print(f'{name}: {seconds["plain"] / seconds[name]:.2f} times as fast as plain')
    for name in PARTS['processes'] if number > 1 else ():
        print(f'{name}: {number} processes do {number * seconds[alone] / seconds[name]:.2f} times the work of one')


if __name__ == '__main__':
    with leave_on_interrupt('What was measured is above; the rest was not.'):
        main()
