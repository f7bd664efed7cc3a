"""Compare data for pre-training: as many clips chosen for motion, for scene diversity, and at random.

The choices are the lists of ``video_statistics.py``. Each pre-trains the small DropMAE (or another method of
configs/small) with the same CPU seconds. The encoders are scored in label propagation on DAVIS and measured on the ends
of as many other clips, which are in none of the lists. Losses and matches of all choices are thus of the same frames.

OUT gets ``statistics``, the clips, a folder for each choice, a file in ``results`` for each job, and the table
``data.md``. A run that was stopped continues with the same command.

Example:
    python tools/experiments/compare_data.py data/videos work_dirs/data --clips 60 --seconds 900 --davis data/DAVIS
"""

import argparse
import json
import math
import subprocess
import sys
from pathlib import Path

from small_pretraining import METHODS, prepare

from mmvidmae.utils.interrupt import leave_on_interrupt

CHOICES = ('motion', 'diversity', 'random')
TOOLS = Path(__file__).resolve().parents[1]


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('videos', help='folder of videos, or list file with absolute paths')
    parser.add_argument('out', type=Path, help='folder for all results')
    parser.add_argument('--clips', type=int, required=True, help='of each choice, and of the test')
    parser.add_argument('--seconds', type=float, required=True, help='CPU seconds of each pre-training')
    parser.add_argument('--davis', type=Path, help='folder in the layout of DAVIS; without it, nothing is propagated')
    parser.add_argument('--method', choices=METHODS, default='dropmae')
    parser.add_argument('--bf16', action='store_true', help='pre-train in bfloat16 on CPUs that have it (avx512_bf16)')
    parser.add_argument('--seeds', type=int, nargs='+', default=[0], help='of the pre-training (default: 0)')
    parser.add_argument('--short-side', type=int, default=240, help='of DAVIS in pixels (default: %(default)s)')
    parser.add_argument('--frames', type=int, default=24, help='first frames of sequences (default: %(default)s)')
    parser.add_argument('--pairs', type=int, default=128, help='pairs of the test clips (default: %(default)s)')
    parser.add_argument('--jobs', type=int, default=1, help='processes, with one thread each (default: %(default)s)')
    return parser


if __name__ == '__main__':
    make_parser().parse_args()  # answers --help and refuses mistakes before the imports below, which take seconds

import numpy as np  # noqa: E402
import torch  # noqa: E402
from compare_methods import BF16, Job, work  # noqa: E402
from report import read_result, show  # noqa: E402

from mmvidmae.datasets.sources import read_list  # noqa: E402
from mmvidmae.utils.files import atomic_write  # noqa: E402


def choose(args: argparse.Namespace) -> dict[str, list[str]]:
    """Paths of the clips of each choice, and of ``test``, which are drawn from the rest with seed 0."""
    folder = args.out / 'statistics'
    lists = {choice: folder / f'{choice}.txt' for choice in CHOICES}
    if not all(path.exists() and len(read_list(str(path), 'video')) == args.clips for path in lists.values()):
        tool = TOOLS / 'dataset_converters/video_statistics.py'
        options = ['--most', str(args.clips), '--workers', str(args.jobs)]
        subprocess.run(
            [sys.executable, tool, args.videos, folder, *options]
        )  # reports broken clips and leaves them out
    clips = {choice: read_list(str(path), 'video') for choice, path in lists.items()}
    measured = (json.loads(line) for line in (folder / 'clips.jsonl').read_text('utf-8').splitlines() if line)
    chosen = {path for paths in clips.values() for path in paths}
    rest = sorted({entry['path'] for entry in measured if entry['error'] is None} - chosen)
    clips['test'] = np.random.default_rng(0).permutation(rest)[: args.clips].tolist()
    short = [f'{name} {len(paths)}' for name, paths in clips.items() if len(paths) < args.clips]
    if short:
        sys.exit(f'there are too few clips for --clips {args.clips}: {", ".join(short)}')
    return clips


def prepare_all(clips: dict[str, list[str]], out: Path) -> None:
    """Re-encode all clips once, and fill the folder of each choice."""
    paths = sorted({path for chosen in clips.values() for path in chosen})
    names = {path: f'{number:06d}' for number, path in enumerate(paths)}  # names of files could collide
    if not (out / 'clips.txt').exists():
        (out / 'videos').mkdir(parents=True, exist_ok=True)
        for path, name in names.items():
            link = out / f'videos/{name}{Path(path).suffix}'
            link.unlink(missing_ok=True)
            link.symlink_to(path)
        prepare(out / 'videos', out)
    lines = (out / 'clips.txt').read_text().splitlines()
    for choice, chosen in clips.items():
        (out / choice).mkdir(exist_ok=True)
        if not (out / choice / 'clips').exists():
            (out / choice / 'clips').symlink_to(out / 'clips')
        stems = {names[path] for path in chosen}
        text = ''.join(f'{line}\n' for line in lines if Path(line).stem in stems)
        (out / choice / 'clips.txt').write_text(text)


def plan(args: argparse.Namespace) -> list[Job]:
    """Jobs of all choices and of random weights."""
    jobs = []
    for seed in args.seeds:
        model = dict(method=args.method, changes=BF16 if args.bf16 else {}, seed=seed)
        for choice in (*CHOICES, 'untrained'):
            data, needs, checkpoint = str(args.out / choice), '', None
            if choice != 'untrained':
                run, needs = f'{args.method}-{seed}', f'pretrain-{choice}-{seed}'
                budget = dict(saves=1, seconds=args.seconds)
                jobs.append(Job(needs, 'pretrain', dict(out=data, name=run, **model, **budget), '', args.seconds))
                checkpoint = f'{data}/runs/{run}/part_1.pth'
            model['checkpoint'] = checkpoint
            test = dict(out=str(args.out / 'test'), **model)
            jobs.append(Job(f'early-{choice}-{seed}', 'early', dict(test, pairs=args.pairs), needs, 0.3 * args.pairs))
            if args.davis:
                davis = dict(davis=str(args.davis), short_side=args.short_side, frames=args.frames)
                jobs.append(Job(f'frozen-{choice}-{seed}', 'frozen', dict(test, **davis), needs, 5.0 * args.frames))
            del model['checkpoint']
    return jobs


def table(args: argparse.Namespace, clips: dict[str, list[str]], jobs: list[Job]) -> str:
    """Scores of each choice, the mean over the seeds."""
    results = {job.name: read_result(args.out, job.name)['result'] for job in jobs}
    protocols = [*results[f'frozen-untrained-{args.seeds[0]}']] if args.davis else []
    header = ['clips', 'in the random list', 'steps', *(f'J&F, {name}' for name in protocols)]
    header += ['matches, %', 'loss', 'added loss, foreign past', 'added loss, copy moved by a patch']
    lines = [f'| {" | ".join(header)} |', f'|:--{"|--:" * (len(header) - 1)}|']
    for choice in (*CHOICES, 'untrained'):
        early, frozen, runs = (
            [results.get(f'{kind}-{choice}-{seed}', {}) for seed in args.seeds]
            for kind in ('early', 'frozen', 'pretrain')
        )
        shared = len({*clips[choice]} & {*clips['random']}) if choice in clips else '-'
        row = [choice, str(shared), show([run['steps'] for run in runs if run], 0)]
        row += [show([scores[name]['J&F-Mean'] for scores in frozen]) for name in protocols]
        row.append(show([scores['feature_accuracy'][-1] for scores in early], 1, 100))
        losses = [scores['loss'] for scores in early]
        row.append(show([loss['true'] for loss in losses], 3))
        row.append(show([loss['foreign'] - loss['true'] for loss in losses], 3))
        row.append(show([loss['moved'] - loss['identical'] for loss in losses], 3))
        lines.append(f'| {" | ".join(row)} |')
    return '\n'.join(lines)


def main() -> None:
    args = make_parser().parse_args()
    torch.set_num_threads(1)  # before anything runs: processes are forked
    args.out = args.out.resolve()
    clips = choose(args)
    prepare_all(clips, args.out)
    jobs = plan(args)
    if failed := work(jobs, args.out, args.jobs, math.inf):
        raise SystemExit(f'{len(failed)} jobs failed: {", ".join(failed)}')
    text = table(args, clips, jobs)
    with atomic_write(args.out / 'data.md') as part:
        part.write_text(text + '\n', 'utf-8')
    print(text)


if __name__ == '__main__':
    with leave_on_interrupt('The same command continues.'):
        main()
