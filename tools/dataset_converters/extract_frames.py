"""Write the frames of videos as JPEG files, one folder per clip. Reading them needs no video decoder.

``FramePairDataset`` reads the result. The GPU report trains on it, too (docs/gpu.md). Clips keep their folders and
names. A folder appears under its name when it is complete. A second run skips existing clips. The exit code is 1 if
some clips failed.

    python tools/dataset_converters/extract_frames.py data/videos data/frames
    python tools/dataset_converters/extract_frames.py data/videos data/frames --short-side 128 --every 3 --most 40
"""

import argparse
import threading
from itertools import islice
from pathlib import Path

from common import ClipFailed, add_job_arguments, convert_all, run_tool


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('source', type=Path, help='folder of the videos, searched at any depth')
    parser.add_argument('target', type=Path, help='folder for the results')
    parser.add_argument('--short-side', type=int, default=256, help='in pixels (default: %(default)s)')
    parser.add_argument('--every', type=int, default=1, help='interval of the kept frames (default: %(default)s)')
    parser.add_argument('--most', type=int, help='largest number of frames per clip (default: all)')
    parser.add_argument('--quality', type=int, default=90, help='quality of the JPEG files (default: %(default)s)')
    add_job_arguments(parser)
    return parser


if __name__ == '__main__':
    make_parser().parse_args()  # answers --help and refuses mistakes before the imports below, which take seconds

import cv2  # noqa: E402

from mmvidmae.datasets import VideoFileReader  # noqa: E402
from mmvidmae.datasets.sources import scan  # noqa: E402
from mmvidmae.utils.files import atomic_write  # noqa: E402


class Extractor:
    """Writes the frames of a clip.

    Args:
        source: Folder of the videos.
        target: Folder of the results.
        short_side: Length of the short side in pixels; smaller clips keep their size.
        every: Interval of the kept frames.
        most: Largest number of frames per clip; None for all.
        quality: Quality of the JPEG files, 1 to 100.
    """

    def __init__(self, source: Path, target: Path, short_side: int, every: int, most: int | None, quality: int) -> None:
        self.source, self.target = source, target
        self.short_side, self.every, self.most, self.quality = short_side, every, most, quality
        self.stopped = threading.Event()

    def result_of(self, clip: str) -> Path:
        """Folder of the frames of a clip, whose path is relative to ``source``."""
        return (self.target / clip).with_suffix('')

    def __call__(self, clip: str) -> None:
        with atomic_write(self.result_of(clip)) as part:
            part.mkdir()
            reader = VideoFileReader(str(self.source / clip))
            last = None if self.most is None else self.most * self.every
            for number, frame in enumerate(islice(reader, 0, last, self.every)):
                if self.stopped.is_set():
                    raise ClipFailed('stopped')
                self._write(part / f'{number:05d}.jpg', frame)

    def stop(self) -> None:
        self.stopped.set()

    def _write(self, path: Path, frame) -> None:
        scale = min(self.short_side / min(frame.shape[:2]), 1)
        if scale < 1:
            frame = cv2.resize(frame, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        _, data = cv2.imencode('.jpg', frame[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, self.quality])
        path.write_bytes(data)


def main(arguments: list[str] | None = None) -> int:
    parser = make_parser()
    args = parser.parse_args(arguments)
    for name in ('short_side', 'every', 'most', 'workers'):
        if getattr(args, name) is not None and getattr(args, name) < 1:
            parser.error(f'--{name.replace("_", "-")} must be at least 1, got {getattr(args, name)}')

    try:
        clips = scan(str(args.source), 'video')
    except OSError as error:
        parser.error(str(error))
    if not clips:
        parser.error(f'no videos below {args.source}')
    extractor = Extractor(args.source, args.target, args.short_side, args.every, args.most, args.quality)
    return convert_all(extractor, parser, clips, args)


if __name__ == '__main__':
    run_tool(main)
