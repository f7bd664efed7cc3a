"""Compare the methods of configs/small under one budget. Pre-train them on a folder of clips, evaluate them beside
random weights, and write a table and plots.

All runs have the same encoder, optimizer and form of the schedule (configs/small). The budget of a pre-training is one
of these:

- pictures (``--epochs``): a picture is a frame or view of a clip. Clips of MAE and of the pair methods have two, those
  of a method with T frames have T. Such a method trains epochs * 2 / T epochs, rounded.
- CPU seconds (``--seconds``): of the training steps. The schedule ends with the time.

A method that starts from another's encoder (Co-Settle: MAE) has its budget on top of the other's. The tracker and
DropSeg start from plain encoders only, so not from RVM, Co-Settle and T-CoRe.

A call may ask for one method only. The report has all methods whose results are in OUT, with the same settings. The
steps, in this order:

1. pre-training
2. early measures on held-out frames: loss with another earlier frame, matching of patches under known motion, attention
   share
3. J&F of frozen encoders and the early measures over training
4. shorter ablations
5. fine-tuning of a small tracker and a small DropSeg
6. the report

A free process first takes the measures of checkpoints that exist, also those of a pre-training that was stopped. Each
result is a file in ``OUT/results``. Existing results are kept. Ctrl-C and SIGTERM save the pre-trainings that run. A
run that was stopped, or ended by ``--minutes``, continues with the same command. Logs are in ``OUT/logs``.

Example:
    python tools/experiments/compare_methods.py data/videos work_dirs/compare --davis data/DAVIS \\
        --sot-train data/sequences/train --sot-test data/sequences/test --report docs/results
    python tools/experiments/compare_methods.py data/videos work_dirs/compare --methods cropmae --davis data/DAVIS
    python tools/experiments/compare_methods.py data/videos work_dirs/timed --seconds 1800 --ablation-epochs 0
    python tools/experiments/compare_methods.py data/videos work_dirs/larger --size larger --epochs 600 \\
        --ablation-epochs 150 --davis data/DAVIS --short-sides 240 480 --jobs 2     # one GPU, 16 cores
"""

import argparse
import json
import math
import multiprocessing.connection
import os
import shlex
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, NamedTuple

from small_pretraining import METHODS, epochs_of, prepare

from mmvidmae.utils.interrupt import leave_on_interrupt

GAP = 'train_dataloader.dataset.pipeline.0.gap'
ABLATIONS: dict[str, dict[str, tuple[str, str, dict[str, Any]]]] = {
    'P of DropMAE': {
        '0': ('dropmae-p0', 'dropmae', {'model.neck.spatial_drop': 0.0}),
        '0.05': ('dropmae-p0.05', 'dropmae', {'model.neck.spatial_drop': 0.05}),
        '0.1': ('dropmae', 'dropmae', {}),
        '0.2': ('dropmae-p0.2', 'dropmae', {'model.neck.spatial_drop': 0.2}),
    },
    'drop masks of DropMAE': {
        'a head': ('dropmae', 'dropmae', {}),
        'a sample': ('dropmae-shared', 'dropmae', {'model.neck.share_heads': True}),
    },
    'largest gap of DropMAE': {
        '4': ('dropmae-gap4', 'dropmae', {GAP: (1, 4)}),
        '24': ('dropmae', 'dropmae', {}),
        '48': ('dropmae-gap48', 'dropmae', {GAP: (1, 48)}),
    },
    'mask ratio of DropMAE': {
        '0.5': ('dropmae-mask0.5', 'dropmae', {'model.masking.mask_ratio': 0.5}),
        '0.75': ('dropmae', 'dropmae', {}),
        '0.9': ('dropmae-mask0.9', 'dropmae', {'model.masking.mask_ratio': 0.9}),
    },
    'decoder of SiamMAE': {
        'cross-self': ('siammae', 'siammae', {}),
        'cross': ('siammae-cross', 'siammae', {'model.neck.order': ('cross', 'ffn')}),
        'joint': ('siammae-joint', 'siammae', {'model.neck.order': ('self', 'ffn')}),
    },
}
"""What is varied: for each value the name of its run, its method and its changes of the method's config."""

LARGER: dict[str, dict[str, Any]] = {
    'pretrain': {
        'model.backbone.arch': 'small',
        'model.backbone.img_size': 224,
        'model.backbone.patch_size': 16,
        'model.neck.decoder_dims': 512,
        'model.neck.depth': 8,
        'model.neck.num_heads': 16,
        'optim_wrapper.type': 'AmpOptimWrapper',
        'optim_wrapper.dtype': 'bfloat16',
        'train_dataloader.batch_size': 64,
        'train_dataloader.num_workers': 7,
    },
    'track': {
        'model.backbone.arch': 'small',
        'model.backbone.patch_size': 16,
        'model.template_size': 112,
        'model.search_size': 224,
        'train_dataloader.num_workers': 7,
        'train_dataloader.dataset.pipeline.2.sizes': (112, 224),
    },
    'segment': {
        'model.backbone.arch': 'small',
        'model.backbone.img_size': 224,
        'model.backbone.patch_size': 16,
        'train_dataloader.num_workers': 7,
        'train_dataloader.dataset.pipeline.0.size': 224,
    },
}
"""What ``--size larger`` changes of the configs of each kind of training: ViT-S/16 at 224 pixels, 256 pairs a step."""

BF16 = {'optim_wrapper.type': 'mmvidmae.CPUAmpOptimWrapper'}
"""What ``--bf16`` changes of the configs of pre-training."""

SIZES = dict(small={kind: {} for kind in LARGER}, larger=LARGER)


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('videos', type=Path, help='folder of videos, at any depth')
    parser.add_argument('out', type=Path, help='folder for all results')
    parser.add_argument('--report', type=Path, help='folder for table, plots and figures (default: OUT/report)')
    parser.add_argument('--davis', type=Path, help='folder in the layout of DAVIS: frozen evaluation, DropSeg')
    parser.add_argument('--davis-train', nargs='+', default=['blackswan', 'car-shadow', 'dog'], metavar='SEQUENCE')
    parser.add_argument(
        '--davis-test', nargs='+', default=['drift-chicane', 'libby', 'motocross-jump'], metavar='SEQUENCE'
    )
    parser.add_argument('--sot-train', type=Path, help='folder of sequences to fine-tune the tracker on')
    parser.add_argument('--sot-test', type=Path, help='folder of sequences to test it on')
    parser.add_argument('--size', choices=SIZES, default='small', help='larger: ViT-S/16 at 224 pixels, for a GPU')
    parser.add_argument('--methods', nargs='+', choices=METHODS, default=[*METHODS])
    budget = parser.add_mutually_exclusive_group()
    budget.add_argument(
        '--epochs',
        type=int,
        default=16,
        help='pictures of a pre-training, as many as epochs of pairs have: a method with T frames in a clip trains '
        'epochs * 2 / T epochs (default: %(default)s)',
    )
    budget.add_argument('--seconds', type=float, help='CPU seconds of a pre-training, in place of epochs')
    parser.add_argument('--saves', type=int, default=4, help='checkpoints of a pre-training (default: %(default)s)')
    parser.add_argument('--bf16', action='store_true', help='pre-train in bfloat16 on CPUs that have it (avx512_bf16)')
    parser.add_argument('--ablation-epochs', type=int, default=4, help='0 for no ablations (default: %(default)s)')
    parser.add_argument('--iters', type=int, default=100, help='of fine-tuning (default: %(default)s)')
    parser.add_argument(
        '--pairs',
        type=int,
        default=128,
        help='held-out pairs; the tracker is scored on four times as many (default: %(default)s)',
    )
    parser.add_argument(
        '--frames', type=int, default=20, help='first frames of each DAVIS sequence (default: %(default)s)'
    )
    parser.add_argument(
        '--short-sides', type=int, nargs='+', default=[192, 240], help='of DAVIS frames; curves use the first'
    )
    parser.add_argument('--seeds', type=int, nargs='+', default=[0], help='the first one is that of the ablations')
    parser.add_argument('--jobs', type=int, default=2, help='processes, of one thread each (default: %(default)s)')
    parser.add_argument('--minutes', type=float, default=math.inf, help='start no job after this time, then report')
    return parser


if __name__ == '__main__':
    make_parser().parse_args()  # answers --help and refuses mistakes before the imports below, which take seconds

import torch  # noqa: E402
from measures import JOBS, run_config  # noqa: E402
from records import machine  # noqa: E402
from report import RANDOM, RANDOM_ENCODER, read_result, write_report  # noqa: E402

from mmvidmae.utils.files import atomic_write  # noqa: E402


class Job(NamedTuple):
    """A job that writes one result.

    Attributes:
        name: Name of its file, ``OUT/results/<name>.json``.
        kind: Called function, see ``measures.JOBS``.
        arguments: Arguments of the function, plain values.
        needs: Name of the job that must be done first, or empty.
        cost: Estimated seconds on one core.
    """

    name: str
    kind: str
    arguments: dict[str, Any]
    needs: str
    cost: float

    def measures_existing(self) -> bool:
        """Whether it measures a checkpoint that exists. Its pre-training may still go on."""
        checkpoint = self.arguments.get('checkpoint')
        return self.kind in ('early', 'frozen') and bool(checkpoint) and Path(checkpoint).exists()


def plan(args: argparse.Namespace, methods: Sequence[str], steps_an_epoch: float) -> list[Job]:
    """List all jobs of some methods, those of the main table first."""
    jobs: dict[str, Job] = {}
    out = str(args.out)
    size = SIZES[args.size]
    precision = BF16 if args.bf16 else {}

    def add(name: str, kind: str, cost: float, needs: str = '', /, **arguments: Any) -> None:
        jobs.setdefault(name, Job(name, kind, arguments, needs, cost))

    def add_run(name: str, method: str, changes: dict, seed: int, saves: int, **budget: float) -> None:
        epochs = budget.get('epochs', 0)
        cost = budget.get('seconds', epochs * steps_an_epoch * METHODS[method].step_seconds) + 10 * saves
        add(
            f'pretrain-{name}',
            'pretrain',
            cost,
            start_of(method, seed),
            out=out,
            name=name,
            **run(method, changes, seed),
            saves=saves,
            **budget,
        )

    def start_of(method: str, seed: int) -> str:
        """Job whose encoder a method starts from, or empty."""
        start = METHODS[method].starts_from
        return f'pretrain-{start}-{seed}' if start else ''

    def stops(method: str) -> dict[str, str]:
        """Labels and files of the checkpoints of a pre-training."""
        if args.seconds:
            return {f'part{part}': f'part_{part}.pth' for part in range(1, args.saves + 1)}
        epochs = epochs_of(method, args.epochs)
        step = max(epochs // args.saves, 1)
        return {f'epoch{epoch}': f'epoch_{epoch}.pth' for epoch in [*range(step, epochs, step), epochs]}

    def last_of(method: str, seed: int) -> str:
        return f'{out}/runs/{method}-{seed}/{[*stops(method).values()][-1]}'

    def run(method: str, changes: dict, seed: int) -> dict[str, Any]:
        if start := METHODS[method].starts_from:
            changes = {'model.backbone.encoder.init_cfg.checkpoint': last_of(start, seed), **changes}
        return dict(method=method, changes={**size['pretrain'], **precision, **changes}, seed=seed)

    def add_early(label: str, model: dict, checkpoint: str | None, needs: str = '') -> None:
        add(
            f'early-{label}',
            'early',
            0.3 * args.pairs + 5,
            needs,
            out=out,
            checkpoint=checkpoint,
            pairs=args.pairs,
            **model,
        )

    def add_frozen(label: str, model: dict, checkpoint: str | None, side: int, needs: str = '') -> None:
        if args.davis:
            cost = 0.4 * args.frames * (side / 192) ** 3 * 6
            more = dict(davis=str(args.davis), short_side=side, frames=args.frames)
            add(f'frozen{side}-{label}', 'frozen', cost, needs, out=out, checkpoint=checkpoint, **more, **model)

    curve_side = args.short_sides[0]
    for seed in args.seeds:
        for method in methods:
            budget = dict(seconds=args.seconds) if args.seconds else dict(epochs=epochs_of(method, args.epochs))
            add_run(f'{method}-{seed}', method, {}, seed, args.saves, **budget)
        for method in methods:
            model, needs = run(method, {}, seed), f'pretrain-{method}-{seed}'
            add_early(f'{method}-{seed}', model, last_of(method, seed), needs)
            for side in args.short_sides:
                add_frozen(f'{method}-{seed}', model, last_of(method, seed), side, needs)
        for method in dict.fromkeys(RANDOM[method] for method in methods):
            add_early(f'random-{method}-{seed}', run(method, {}, seed), None, start_of(method, seed))
        for method in dict.fromkeys(RANDOM_ENCODER[method] for method in methods):
            for side in args.short_sides:
                model = run(method, {}, seed)
                add_frozen(f'random-{method}-{seed}', model, None, side, start_of(method, seed))
        for method in methods:
            for stop, file in [*stops(method).items()][:-1]:
                checkpoint, needs = f'{out}/runs/{method}-{seed}/{file}', f'pretrain-{method}-{seed}'
                add_frozen(f'{method}-{seed}-{stop}', run(method, {}, seed), checkpoint, curve_side, needs)
                add_early(f'{method}-{seed}-{stop}', run(method, {}, seed), checkpoint, needs)
    seed = args.seeds[0]
    for values in ABLATIONS.values() if args.ablation_epochs else ():
        for name, method, changes in values.values():
            if method not in methods:
                continue
            label = f'short-{name}-{seed}'
            checkpoint = f'{out}/runs/{label}/epoch_{args.ablation_epochs}.pth'
            add_run(label, method, changes, seed, 1, epochs=args.ablation_epochs)
            add_early(label, run(method, changes, seed), checkpoint, f'pretrain-{label}')
            add_frozen(label, run(method, changes, seed), checkpoint, curve_side, f'pretrain-{label}')
    for seed in args.seeds:
        pretrained = {method: last_of(method, seed) for method in methods if METHODS[method].fine_tunes}
        for init, checkpoint in {'random': None, **pretrained}.items():
            name, needs = f'{init}-{seed}', f'pretrain-{init}-{seed}' if checkpoint else ''
            more = dict(out=out, checkpoint=checkpoint, seed=seed, iters=args.iters)
            if args.sot_train:
                sot = dict(train=str(args.sot_train), test=str(args.sot_test), pairs=4 * args.pairs)
                cost = 1.1 * args.iters + 25
                add(f'track-{name}', 'track', cost, needs, name=f'track-{name}', changes=size['track'], **sot, **more)
            if args.davis:
                split = dict(davis=str(args.davis), train=args.davis_train, test=args.davis_test, frames=args.frames)
                add(
                    f'segment-{name}',
                    'segment',
                    2 * args.iters + 3 * args.frames,
                    needs,
                    name=f'segment-{name}',
                    changes=size['segment'],
                    **split,
                    **more,
                )
    return list(jobs.values())


def differences(job: Job, out: Path) -> set[str] | None:
    """Arguments in which an existing result differs from a job, or None without a result."""
    path = out / 'results' / f'{job.name}.json'
    if not path.exists():
        return None
    known = json.loads(path.read_text())['arguments']
    asked = json.loads(json.dumps(job.arguments))
    return {key for key in known.keys() | asked.keys() if known.get(key) != asked.get(key)}


def is_done(job: Job, out: Path) -> bool:
    """Whether a result exists.

    Raises:
        SystemExit: If the result has other arguments.
    """
    other = differences(job, out)
    if other:
        path = out / 'results' / f'{job.name}.json'
        raise SystemExit(f'{path} has other {", ".join(sorted(other))}: use another folder, or delete it')
    return other is not None


def do(job: Job, out: Path) -> None:
    """Run a job in its own process, with its output in a log. SIGTERM ends it: a pre-training saves first."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches it, too, but the first process decides
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    log = out / 'logs' / f'{job.name}.log'
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open('a') as file:
        for stream in (1, 2):
            os.dup2(file.fileno(), stream)
    start = time.perf_counter()
    result = JOBS[job.kind](**job.arguments)
    seconds = round(time.perf_counter() - start, 1)
    with atomic_write(out / 'results' / f'{job.name}.json') as part:
        cpu = round(sum(os.times()[:4]), 1)  # says more than seconds on a machine that others use, too
        content = dict(job=job.name, arguments=job.arguments, seconds=seconds, cpu_seconds=cpu, result=result)
        part.write_text(json.dumps(content, indent=1) + '\n')


@contextmanager
def jobs_end_on_interrupt() -> Iterator[None]:
    """Within this context, SIGTERM interrupts as Ctrl-C does. An exception then ends the jobs that run."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        running = multiprocessing.active_children()
        for process in running:
            process.terminate()
        for process in running:
            process.join()


@jobs_end_on_interrupt()
def work(jobs: list[Job], out: Path, processes: int, minutes: float) -> list[str]:
    """Run the jobs that measure existing checkpoints, then the others in their order, each after the job that it needs.
    No job starts after ``minutes``. Returns the names of failed jobs.

    Raises:
        KeyboardInterrupt: After Ctrl-C or SIGTERM, once the running jobs have ended.
    """
    waiting = [job for job in jobs if not is_done(job, out)]
    done = {job.name for job in jobs} - {job.name for job in waiting}
    running: dict[BaseProcess, Job] = {}
    failed: list[str] = []
    start, spent, expected = time.perf_counter(), 0.0, 0.0
    context = multiprocessing.get_context('fork')  # a process a job: toolboxes change global state; imports are shared
    while waiting or running:
        for job in [job for job in waiting if job.needs in failed]:
            waiting.remove(job)
            failed.append(job.name)
            print(f'{job.name} is left out, for {job.needs} failed', flush=True)
        ready = [job for job in waiting if not job.needs or job.needs in done or job.measures_existing()]
        ready.sort(key=Job.measures_existing, reverse=True)  # stable: otherwise in their order
        if time.perf_counter() - start > 60 * minutes:
            ready = []
        if not ready and not running:
            if waiting:
                print(f'{len(waiting)} jobs are left: the same command continues with them', flush=True)
            break
        for job in ready[: processes - len(running)]:
            waiting.remove(job)
            process = context.Process(target=do, args=(job, out))
            process.start()
            running[process] = job
        ended = set(multiprocessing.connection.wait([process.sentinel for process in running]))
        for process in [process for process in running if process.sentinel in ended]:
            job = running.pop(process)
            process.join()
            if process.exitcode:
                failed.append(job.name)
                print(f'{job.name} FAILED, see {out}/logs/{job.name}.log', flush=True)
                continue
            done.add(job.name)
            seconds = read_result(out, job.name)['seconds']
            spent, expected = spent + seconds, expected + job.cost
            left = sum(job.cost for job in [*waiting, *running.values()]) * spent / expected / processes
            print(
                f'{(time.perf_counter() - start) / 60:6.1f} min  {len(done)}/{len(jobs)}  {job.name}: {seconds:.0f} s; '
                f'about {left / 60:.0f} min left',
                flush=True,
            )
    return failed


def main() -> None:
    parser = make_parser()
    args = parser.parse_args()
    if (args.sot_train is None) != (args.sot_test is None):
        parser.error('--sot-train and --sot-test go together')
    if args.saves < 1 or (args.seconds is not None and args.seconds <= 0):
        parser.error('--saves and --seconds must be above 0')
    if args.epochs < 2 or args.ablation_epochs == 1 or args.iters < 2:
        parser.error('--epochs, --ablation-epochs and --iters must be at least 2: schedules begin with a warm-up')
    for folder in (args.videos, args.davis, args.sot_train, args.sot_test):
        if folder and not folder.is_dir():
            parser.error(f'there is no folder {folder}')
    torch.set_num_threads(1)  # before anything runs: processes are forked
    args.out = args.out.resolve()
    report_dir = args.report or args.out / 'report'
    if not (args.out / 'clips.txt').exists():
        prepare(args.videos, args.out, short_side=256 if args.size == 'larger' else 112)
    num_clips = len((args.out / 'clips.txt').read_text().splitlines())
    for method in args.methods:
        loader = run_config(str(args.out), method, SIZES[args.size]['pretrain'], 2, 0).train_dataloader
        clips = loader.dataset.repeated_sampling * loader.batch_size  # an effective epoch samples each clip once
        if num_clips < clips:
            parser.error(f'{args.out / "clips.txt"} lists {num_clips} clips: a step of {method} needs {clips}')
    starts = [METHODS[method].starts_from for method in args.methods]
    args.methods = [method for method in METHODS if method in {*args.methods, *starts}]
    jobs = plan(args, args.methods, num_clips / 32)
    left = [job for job in jobs if not is_done(job, args.out)]
    cost = sum(job.cost for job in left) / args.jobs / 60
    print(f'{len(jobs)} jobs, {len(left)} to do: about {cost:.0f} minutes with {args.jobs} processes', flush=True)
    failed = work(jobs, args.out, args.jobs, args.minutes)

    settings = dict(command=shlex.join(['python', *sys.argv]), seeds=args.seeds, **machine())
    others = [job for job in plan(args, [*METHODS], num_clips / 32) if differences(job, args.out) == set()]
    names = [job.name for job in [*jobs, *others]]
    write_report(args.out, report_dir, settings, names, ABLATIONS, args.short_sides)
    print(f'The report is in {report_dir}')
    if failed:
        raise SystemExit(f'{len(failed)} jobs failed: {", ".join(failed)}')


if __name__ == '__main__':
    with leave_on_interrupt('The same command continues with the remaining jobs.'):
        main()
