"""Re-encode videos to a short side of 256 pixels with a keyframe every 8 frames, for the fastest reading of pairs.

Writes H.264 mp4 files without sound and tags, with the same folders and names (and the suffix .mp4). Pictures are
upright, have the size of the first frame and are never upscaled. A file appears under its name when it is complete. A
second run skips existing clips. Uses ffmpeg from PATH, or the one in the imageio-ffmpeg wheel. The exit code is 1 if
some clips failed.

    python tools/dataset_converters/resize_videos.py data/kinetics400/train data/kinetics400_256/train
"""

import argparse
import shutil
import subprocess
from pathlib import Path

from common import ClipFailed, Isolated, add_job_arguments, convert_all, run_tool


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('source', type=Path, help='folder of the originals, searched at any depth')
    parser.add_argument('target', type=Path, help='folder for the results')
    parser.add_argument('--short-side', type=int, default=256, help='in pixels (default: %(default)s)')
    parser.add_argument('--gop', type=int, default=8, help='interval of the keyframes in frames (default: %(default)s)')
    parser.add_argument('--crf', type=int, default=23, help='quality of x264, smaller is better (default: %(default)s)')
    add_job_arguments(parser, timeout=600)
    return parser


if __name__ == '__main__':
    make_parser().parse_args()  # answers --help and refuses mistakes before the imports below, which take seconds

import av  # noqa: E402

from mmvidmae.datasets import VideoFileReader  # noqa: E402
from mmvidmae.datasets.sources import scan  # noqa: E402
from mmvidmae.utils.files import atomic_write  # noqa: E402


def find_ffmpeg() -> str:
    """Path of ffmpeg, from PATH or the imageio-ffmpeg wheel.

    Raises:
        FileNotFoundError: If there is neither.
    """
    if program := shutil.which('ffmpeg'):
        return program
    try:
        import imageio_ffmpeg

        return imageio_ffmpeg.get_ffmpeg_exe()
    except (ImportError, RuntimeError) as error:
        raise FileNotFoundError('There is no ffmpeg: install it, or run `pip install imageio-ffmpeg`') from error


def find_video(path: str) -> int:
    """Number of the stream that ``VideoFileReader`` reads. A cover picture may precede it.

    Raises:
        ClipFailed: If there is none.
    """
    with av.open(f'file:{path}', metadata_errors='replace') as container:
        stream = container.streams.best('video')
        if stream is None:
            raise ClipFailed('it has no pictures')
        return stream.index


def check_result(path: str) -> None:
    """Reads the first frame.

    Raises:
        VideoReadError: If it cannot be read.
    """
    VideoFileReader(path).get_batch([0])


class Encoder:
    """Encodes a clip in an ffmpeg process.

    Args:
        source: Folder of the originals.
        target: Folder of the results.
        short_side: Length of the short side in pixels; smaller clips keep their size (made even, as H.264 wants it).
        gop: Interval of the keyframes in frames.
        crf: Constant rate factor of x264, 0 (lossless) to 51.
        timeout: Time limit of a clip in seconds.
    """

    def __init__(self, source: Path, target: Path, short_side: int, gop: int, crf: int, timeout: float) -> None:
        self.source, self.target, self.timeout = source, target, timeout
        self.running: set[subprocess.Popen] = set()
        self.aside = Isolated(timeout)
        self.ffmpeg = find_ffmpeg()
        width = f'if(lt(iw,ih),trunc(min({short_side},iw)/2)*2,-2)'
        height = f'if(lt(iw,ih),-2,trunc(min({short_side},ih)/2)*2)'
        self.options = [
            *('-map_metadata', '-1', '-map_chapters', '-1'),
            *('-vf', f"scale='{width}':'{height}':flags=bicubic", '-pix_fmt', 'yuv420p'),
            *('-c:v', 'libx264', '-preset', 'medium', '-crf', str(crf), '-g', str(gop), '-keyint_min', str(gop)),
            # Made to be read at random: no frame waits for later ones (which opening would have to find out too), and
            # decoding is cheap. The index is in front, so that opening reads one place.
            *('-bf', '0', '-tune', 'fastdecode'),
            *('-sc_threshold', '0', '-threads', '1', '-movflags', '+faststart', '-f', 'mp4'),
            # Every decoded frame, also where times are damaged. The option's name has changed in ffmpeg 5.1.
            *('-fps_mode' if '-fps_mode' in self._all_options() else '-vsync', 'passthrough'),
        ]

    def result_of(self, clip: str) -> Path:
        """Path of the result of a clip, whose path is relative to ``source``."""
        return (self.target / clip).with_suffix('.mp4')

    def __call__(self, clip: str) -> None:
        with atomic_write(self.result_of(clip)) as part:
            self._encode(self.source / clip, part)

    def stop(self) -> None:
        for process in tuple(self.running):
            process.kill()
        self.aside.stop()

    def _all_options(self) -> str:
        return subprocess.run([self.ffmpeg, '-h', 'long'], capture_output=True, text=True, errors='replace').stdout

    def _encode(self, clip: Path, part: Path) -> None:
        try:
            stream = self.aside(find_video, str(clip))
        except ClipFailed as failure:
            raise ClipFailed(f'not a readable video ({failure})') from failure
        source = ('-i', f'file:{clip}', '-map', f'0:{stream}')
        command = [self.ffmpeg, '-nostdin', '-v', 'error', '-y', *source, *self.options, f'file:{part}']
        process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, errors='replace'
        )
        self.running.add(process)
        try:
            messages = process.communicate(timeout=self.timeout)[1].strip()
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            raise ClipFailed(f'not finished after {self.timeout:g} s') from None
        finally:
            self.running.discard(process)
        if process.returncode:
            raise ClipFailed(messages.rpartition('\n')[2] or f'ffmpeg ended with code {process.returncode}')
        try:
            self.aside(check_result, str(part))
        except ClipFailed as failure:
            raise ClipFailed(f'the result is {failure}') from failure


def main(arguments: list[str] | None = None) -> int:
    parser = make_parser()
    args = parser.parse_args(arguments)

    try:
        clips = scan(str(args.source), 'video')
        encoder = Encoder(args.source, args.target, args.short_side, args.gop, args.crf, args.timeout)
    except OSError as error:
        parser.error(str(error))
    if not clips:
        parser.error(f'no videos below {args.source}')
    if args.source.resolve() == args.target.resolve():
        parser.error('the results must go to another folder than the originals')
    return convert_all(encoder, parser, clips, args)


if __name__ == '__main__':
    run_tool(main)
