"""Compare our video reader with decord2 and torchcodec: frames, and seconds of this process for opening and reading.

A clip is opened, and some of its frames are read in one batch, as in training. The readers take turns, with one thread
each. Readers whose package is missing are left out (``pip install --no-deps decord2 torchcodec``). The frames of each
are compared with ours.

Example:
    python tools/benchmarks/video_readers.py data/videos_256 --frames 2 8
"""

import argparse
import importlib.util
from collections.abc import Callable, Sequence
from pathlib import Path


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('videos', type=Path, help='folder of videos')
    parser.add_argument('--clips', type=int, default=12, help='first ones of the folder (default: %(default)s)')
    parser.add_argument('--frames', type=int, nargs='+', default=[2, 8], help='of a batch (default: 2 8)')
    parser.add_argument('--repeats', type=int, default=5)
    return parser


if __name__ == '__main__':
    make_parser().parse_args()  # answers --help and refuses mistakes before the imports below, which take seconds

import time  # noqa: E402

import numpy as np  # noqa: E402
import torch  # noqa: E402
from side_by_side import machine, take_turns  # noqa: E402

from mmvidmae.datasets import VideoFileReader  # noqa: E402
from mmvidmae.datasets.sources import scan  # noqa: E402

Read = Callable[[str, Sequence[int]], np.ndarray]


def readers() -> dict[str, Read]:
    """Functions that open a video and read frames ``(N, H, W, 3)``, by name."""
    found: dict[str, Read] = {'ours (PyAV)': lambda path, numbers: VideoFileReader(path).get_batch(numbers)}
    if importlib.util.find_spec('decord'):
        import decord

        found['decord'] = lambda path, numbers: (
            decord.VideoReader(path, num_threads=1).get_batch(list(numbers)).asnumpy()
        )
    if importlib.util.find_spec('torchcodec'):
        from torchcodec.decoders import VideoDecoder

        for mode in ('exact', 'approximate'):
            found[f'torchcodec, {mode}'] = lambda path, numbers, mode=mode: (
                VideoDecoder(path, num_ffmpeg_threads=1, seek_mode=mode, dimension_order='NHWC')
                .get_frames_at(list(numbers))
                .data.numpy()
            )
    return found


def main() -> None:
    args = make_parser().parse_args()
    torch.set_num_threads(1)
    cpu, rng = torch.device('cpu'), np.random.default_rng(0)
    paths = [str(args.videos / name) for name in scan(str(args.videos), 'video')[: args.clips]]
    print(f'{len(paths)} clips of {args.videos}; {machine(cpu)}')
    print(f'{"":24}' + ''.join(f'{f"{number} frames":>14}{"ratio":>8}' for number in args.frames))
    columns = []
    for number in args.frames:
        chosen = [sorted(rng.choice(len(VideoFileReader(path)), number).tolist()) for path in paths]
        columns.append(
            take_turns(
                {
                    name: lambda read=read, chosen=chosen: [read(*clip) for clip in zip(paths, chosen, strict=True)]
                    for name, read in readers().items()
                },
                args.repeats,
                cpu,
                time.process_time,
            )
        )
        for name, read in readers().items():
            same = sum(
                np.array_equal(read(path, frames), VideoFileReader(path).get_batch(frames))
                for path, frames in zip(paths, chosen, strict=True)
            )
            if same < len(paths):
                print(f'{name}: other frames than ours in {len(paths) - same} of {len(paths)} clips')
    ours = [next(iter(column.values())) for column in columns]
    for name in columns[0]:
        cells = (
            f'{1000 * column[name] / len(paths):11.1f} ms{own / column[name]:8.2f}'
            for column, own in zip(columns, ours)
        )
        print(f'{name:24}' + ''.join(cells))


if __name__ == '__main__':
    main()
