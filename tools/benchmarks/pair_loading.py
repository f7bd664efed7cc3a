"""Time reading training pairs against the reference's loader, side by side in one process on one core.

The reference (jimmy-dq/DropMAE@4de150d:dataset_video/KineticsDataset.py:50-80) opens the video for each pair, reads two
frames at native resolution by random access, and crops, flips and normalizes each frame separately with PIL. Our loader
reads the same clips with one and with four pairs per sample. With --converted, it also reads re-encoded clips
(tools/dataset_converters/resize_videos.py). The loaders take turns. Figures are medians over rounds in which every clip
is sampled once, in seconds on one core. With --shards and --converted, it compares shards of the re-encoded clips
(tools/dataset_converters/make_shards.py) with the files, in batches, in seconds of waiting: with warm and cold pages,
and over HTTP with the given latencies.

Example:
    python tools/benchmarks/pair_loading.py data/videos --converted data/videos_256
    python tools/benchmarks/pair_loading.py data/videos --soak 50000     # memory over many reads
    python tools/benchmarks/pair_loading.py data/videos --list 500000    # start-up with a long list
    python tools/benchmarks/pair_loading.py data/videos --workers 1 2 4  # through a data loader
    python tools/benchmarks/pair_loading.py data/videos --converted data/videos_256 --shards data/shards
"""

import argparse
import multiprocessing
import os
import random
import resource
import sys
import tempfile
import time
from collections import deque
from multiprocessing.connection import Connection
from pathlib import Path

from mmvidmae.utils.interrupt import leave_on_interrupt

ROOT = Path(__file__).resolve().parents[2]


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('videos', type=Path, help='folder of original videos')
    parser.add_argument('--converted', type=Path, help='the same, re-encoded')
    parser.add_argument('--shards', type=Path, help='only compare shards of --converted with its files')
    parser.add_argument('--latency', type=float, nargs='*', default=[10, 50], help='of HTTP, in ms (default: 10 50)')
    parser.add_argument('--repeats', type=int, default=5)
    parser.add_argument('--soak', type=int, metavar='READS', help='only measure the memory over this many reads')
    parser.add_argument('--list', type=int, metavar='LINES', help='only measure the start-up with this many lines')
    parser.add_argument('--workers', type=int, nargs='+', help='only measure loaders with these numbers of workers')
    return parser


if __name__ == '__main__':
    make_parser().parse_args()  # answers --help and refuses mistakes before the imports below, which take seconds

import decord  # noqa: E402
import torch  # noqa: E402
from mmengine.config import Config  # noqa: E402
from PIL import Image  # noqa: E402
from side_by_side import machine, take_turns  # noqa: E402
from torchvision import transforms  # noqa: E402

from mmvidmae.datasets import PairDataset, ShardPairDataset, VideoPairDataset, pair_collate  # noqa: E402
from mmvidmae.datasets.sources import scan  # noqa: E402


class ReferenceLoader:
    """DropMAE's ``KineticsDataset``, plainly."""

    def __init__(self, root: Path) -> None:
        self.paths = [str(root / name) for name in scan(str(root), 'video')]
        self.transform = transforms.Compose(
            [
                transforms.RandomResizedCrop(224, scale=(0.2, 1.0), interpolation=transforms.InterpolationMode.BICUBIC),
                transforms.RandomHorizontalFlip(),
                transforms.ToTensor(),
                transforms.Normalize(mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225]),
            ]
        )

    def __call__(self, path: str) -> tuple[torch.Tensor, torch.Tensor]:
        reader = decord.VideoReader(path, num_threads=1, ctx=decord.cpu(0))
        first = random.randrange(max(len(reader) - 1, 1))
        second = random.randrange(first + 1, max(min(len(reader), first + 50), first + 2))
        frames = [reader[min(number, len(reader) - 1)].asnumpy() for number in (first, second)]
        return tuple(self.transform(Image.fromarray(frame)) for frame in frames)


def dataset(root: Path, pairs: int, **options) -> VideoPairDataset:
    """Ours, with DropMAE's recipe."""
    pipeline = Config.fromfile(ROOT / 'configs/_base_/datasets/pipelines/dropmae.py').train_pipeline
    return VideoPairDataset(
        data_root=str(root),
        data_prefix=dict(video=options.pop('prefix', '.')),
        pipeline=pipeline,
        repeated_sampling=pairs,
        **options,
    )


def resident() -> float:
    """Resident memory of this process in MiB."""
    pages = int(Path('/proc/self/statm').read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def soak(root: Path, reads: int) -> None:
    """Memory while pairs are read."""
    data = dataset(root, 1)
    marks = {round(reads * share / 10) for share in range(11)}
    for number in range(reads + 1):
        if number in marks:
            print(f'{number:8d} reads   {resident():8.0f} MiB', flush=True)
        data[number % len(data)]


def start_up(root: Path, lines: int) -> None:
    """Time and memory of a long list."""
    names = scan(str(root), 'video')
    with tempfile.NamedTemporaryFile('w', suffix='.txt') as file:
        file.writelines(f'{names[number % len(names)]}\n' for number in range(lines))
        file.flush()
        before, start = resident(), time.perf_counter()
        data = dataset(root, 1, ann_file=file.name)
        seconds = time.perf_counter() - start
    print(f'{len(data)} lines: {seconds:.1f} s, {resident() - before:.0f} MiB a rank, shared with its workers')


def scaling(root: Path, workers: list[int], repeats: int) -> None:
    """Pairs a second that the training loop gets from a data loader, by its workers."""
    data = dataset(root, 4)
    loaders = {
        number: torch.utils.data.DataLoader(
            torch.utils.data.ConcatDataset([data] * -(-256 // len(data))),  # rounds that are long against their start
            batch_size=8,
            num_workers=number,
            persistent_workers=number > 0,
            collate_fn=pair_collate,
        )
        for number in workers
    }
    turns = {str(number): lambda loader=loader: deque(loader, maxlen=0) for number, loader in loaders.items()}
    seconds = take_turns(turns, repeats, torch.device('cpu'))
    base = min(seconds, key=int)
    print(f'{len(os.sched_getaffinity(0))} cores, 4 pairs a sample; medians of {repeats} rounds')
    for number, value in seconds.items():
        pairs = 4 * len(loaders[int(number)].dataset)
        print(f'{number:>3} workers{pairs / value:10.1f} pairs/s   {seconds[base] / value:6.2f} times {base}')


def drop_pages(root: Path) -> None:
    """Ask the operating system to forget the content of all files below a folder."""
    for path in root.rglob('*'):
        if path.is_file():
            file = os.open(path, os.O_RDONLY)
            os.fdatasync(file)
            os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(file)


def serve(root: str, latency: float, ready: Connection) -> None:
    """Serve a folder over HTTP with added latency, in a process of its own."""
    sys.path.append(str(ROOT / 'tests'))
    from range_server import RangeServer

    with RangeServer(Path(root)) as server:
        server.delay = latency / 1e3
        ready.send(server.url)
        server.closing.wait()


def compare_shards(converted: Path, shards: Path, latencies: list[float], repeats: int) -> None:
    """Pairs a second of a process that waits for one batch after the other, with two pairs a sample."""
    pipeline = Config.fromfile(ROOT / 'configs/_base_/datasets/pipelines/dropmae.py').train_pipeline
    sources = {'files': dataset(converted, 2), 'shards': ShardPairDataset(data_root=str(shards), pipeline=pipeline)}
    for latency in latencies:
        ours, theirs = multiprocessing.Pipe()
        multiprocessing.Process(target=serve, args=(str(shards), latency, theirs), daemon=True).start()
        name = f'shards, HTTP, {latency:g} ms'
        sources[name] = ShardPairDataset(data_root=ours.recv(), pipeline=pipeline)
    for source in sources.values():
        source.repeated_sampling = 2

    def read(source: PairDataset, cold: Path | None = None) -> None:
        if cold:
            drop_pages(cold)
        loader = torch.utils.data.DataLoader(source, 64, collate_fn=pair_collate, sampler=order(len(source)))
        deque(loader, maxlen=0)

    turns = {name: lambda source=source: read(source) for name, source in sources.items()}
    turns |= {
        f'{name}, cold pages': lambda name=name, folder=folder: read(sources[name], folder)
        for name, folder in (('files', converted), ('shards', shards))
    }
    seconds = take_turns(turns, repeats, torch.device('cpu'))
    clips = len(sources['files'])
    print(f'{clips} clips, batches of 64 samples of 2 pairs; {machine(torch.device("cpu"))}; medians of {repeats}')
    for name, value in seconds.items():
        base = seconds['files, cold pages' if 'cold' in name else 'files']
        print(f'{name:<24}{2 * clips / value:8.1f} pairs/s   {base / value:6.2f} times files')


def order(clips: int) -> list[int]:
    """A random order, equal for all sources."""
    return torch.randperm(clips, generator=torch.Generator().manual_seed(0)).tolist()


def main() -> None:
    parser = make_parser()
    args = parser.parse_args()
    torch.set_num_threads(1)
    if args.shards:
        if not args.converted:
            parser.error('--shards needs --converted, the files to compare with')
        compare_shards(args.converted, args.shards, args.latency, args.repeats)
        return
    if args.workers:
        scaling(args.videos, args.workers, args.repeats)
        return
    if args.soak:
        soak(args.videos, args.soak)
        return
    if args.list:
        start_up(args.videos, args.list)
        return
    reference = ReferenceLoader(args.videos)
    sources = {
        'ours, 1 pair a sample': (dataset(args.videos, 1), 1),
        'ours, 4 pairs a sample': (dataset(args.videos, 4), 4),
    }
    if args.converted:
        sources |= {
            'converted, 1 pair': (dataset(args.converted, 1), 1),
            'converted, 4 pairs': (dataset(args.converted, 4), 4),
        }
    candidates = {'reference': lambda: [reference(path) for path in reference.paths]}
    candidates |= {
        name: lambda data=data: [data[number] for number in range(len(data))] for name, (data, _) in sources.items()
    }
    seconds = take_turns(candidates, args.repeats, torch.device('cpu'), time.process_time)
    print(f'{len(reference.paths)} clips, 224 px; {machine(torch.device("cpu"))}; medians of {args.repeats} rounds')
    base = len(reference.paths) / seconds['reference']
    for name, value in seconds.items():
        data, pairs = sources.get(name, (reference.paths, 1))
        rate = len(data) * pairs / value
        print(f'{name:<24}{rate:8.1f} pairs a core second   {rate / base:6.2f} times the reference')


if __name__ == '__main__':
    with leave_on_interrupt('What was measured is above; the rest was not.'):
        main()
