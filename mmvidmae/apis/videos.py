"""Videos of any kind as frames that come one by one, and what is made of them as files."""

import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sized
from contextlib import contextmanager
from itertools import chain, islice
from pathlib import Path
from typing import NamedTuple, TypeVar

import cv2
import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from mmvidmae.datasets import VideoReadError
from mmvidmae.datasets.sources import VIDEO_SUFFIXES
from mmvidmae.visualization import write_video

from .pairs import open_clip

Video = str | Path | int | Iterable[np.ndarray | None]
Result = TypeVar('Result')

DEFAULT_FPS = 25
"""Frames a second where the source does not say."""


class Interrupted(KeyboardInterrupt):
    """An interrupt (Ctrl-C), raised when what was made before it has been written.

    Attributes:
        frames: For how many frames there are results.
    """

    def __init__(self, frames: int) -> None:
        super().__init__(f'interrupted after {frames} frames')
        self.frames = frames


class Source(NamedTuple):
    """An open video.

    Attributes:
        name: For people.
        length: Number of frames, if known.
        fps: Frames a second.
        frames: uint8 RGB ``(H, W, 3)``, None for a lost one.
        live: Whether it is a camera, which an interrupt ends.
    """

    name: str
    length: int | None
    fps: float
    frames: Iterable[np.ndarray | None]
    live: bool = False


def parse_video(text: str) -> str | int:
    """What a command line names: a file or a folder, also one named ``0001``, or else the number of a camera."""
    return int(text) if text.isdecimal() and not Path(text).exists() else text


def check_video_name(path: str | Path | None) -> None:
    """Check the name of a video to be written, if there is one, before any work is done for it.

    Raises:
        ValueError: If its suffix is not that of a video.
    """
    if path is not None and Path(path).suffix.lower() not in VIDEO_SUFFIXES:
        raise ValueError(f'{path}: not the name of a video, as {Path(path).stem}.mp4 would be')


def check_frame(frame: np.ndarray, number: int) -> None:
    """Check a frame that is given to a tracker or segmenter.

    Raises:
        ValueError: If it is not uint8 RGB ``(H, W, 3)``; says how to make it so.
    """
    wanted = 'frames are NumPy arrays, uint8 RGB (H, W, 3), 0 to 255'
    if not isinstance(frame, np.ndarray):
        raise ValueError(f'frame {number} is of type {type(frame).__name__}: {wanted}')
    hint = ''
    if np.issubdtype(frame.dtype, np.floating):
        hint = '. Convert values in [0, 1] by (255 * frame).round().astype(np.uint8)'
    elif frame.ndim == 2 or (frame.ndim == 3 and frame.shape[2] == 1):
        hint = '. Convert a gray frame by np.repeat(frame.reshape(*frame.shape[:2], 1), 3, axis=2)'
    elif frame.ndim == 3 and frame.shape[2] == 4:
        hint = '. Convert an RGBA frame by frame[..., :3]'
    elif frame.ndim == 3 and frame.shape[0] == 3 != frame.shape[2]:
        hint = '. Convert (3, H, W) by frame.transpose(1, 2, 0)'
    if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3 or not frame.size:
        raise ValueError(f'frame {number} is {frame.dtype} {frame.shape}: {wanted}{hint}')


def open_video(video: Video) -> Source:
    """Open a video: a file, a folder of images, the number of a camera, or an iterable of frames.

    Raises:
        VideoReadError: If it cannot be read.
    """
    if isinstance(video, int):
        camera = cv2.VideoCapture(video)
        if not camera.isOpened():
            raise VideoReadError(f'camera {video}', 'it cannot be opened')
        fps = camera.get(cv2.CAP_PROP_FPS)
        return Source(f'camera {video}', None, fps if fps > 0 else DEFAULT_FPS, _pictures(camera), live=True)
    if isinstance(video, str | Path):
        reader = open_clip(video)
        return Source(Path(video).name, len(reader), _frame_rate(video) or DEFAULT_FPS, reader)
    return Source('frames', len(video) if isinstance(video, Sized) else None, DEFAULT_FPS, video)


def _pictures(camera: cv2.VideoCapture) -> Iterator[np.ndarray | None]:
    try:
        while camera.grab():
            found, frame = camera.retrieve()
            yield cv2.cvtColor(frame, cv2.COLOR_BGR2RGB) if found else None
    finally:
        camera.release()


def _frame_rate(video: str | Path) -> float | None:
    """Frames a second of a video file that can be read; None for a folder, and where the file does not say."""
    if Path(video).is_dir():
        return None
    import av

    try:
        with av.open(f'file:{video}', metadata_errors='replace') as container:
            stream = container.streams.best('video')
            return stream.average_rate or stream.guessed_rate
    except av.error.FFmpegError:  # the reader has opened it, and says what is wrong where that matters
        return None


def record(
    source: Source,
    results: Iterable[Result],
    keep: Callable[[Result], None],
    draw: Callable[[Result], np.ndarray],
    video_file: str | Path | None,
    fps: float | None,
    shown: bool,
) -> int:
    """Go through what is made of the frames of a video, with progress on stderr.

    The first interrupt (Ctrl-C) lets the frame in work be finished and ends the files as the video's end would; a
    second one stops at once, without the drawn video.

    Args:
        source: The video.
        results: What is made of its frames, as they come.
        keep: Takes each.
        draw: Draws one: uint8 RGB ``(H, W, 3)``.
        video_file: Video of the drawings, if there is to be one.
        fps: Its frames a second; by default those of the source.
        shown: Whether to show progress.

    Returns:
        Number of frames.

    Raises:
        Interrupted: After an interrupt, unless the source is a camera.
        ValueError: If there are no frames, or the video cannot be written.
    """
    count = 0

    def go_through() -> Iterator[Result]:
        nonlocal count
        try:
            for result in results:
                keep(result)
                count += 1
                progress.advance(task)
                yield result
                if interrupted.is_set():
                    return
        except KeyboardInterrupt:  # from the source, or where the first is not held back
            interrupted.set()

    with _show_progress(shown) as progress, _held_interrupt() as interrupted:
        task = progress.add_task(source.name, total=source.length)
        made = go_through()
        first = list(islice(made, 1))
        if first and video_file is not None:
            write_video(video_file, map(draw, chain(first, made)), fps or source.fps)
        deque(made, maxlen=0)
    if interrupted.is_set() and not source.live:
        raise Interrupted(count)
    if not count and not interrupted.is_set():
        raise ValueError(f'{source.name}: there are no frames')
    return count


@contextmanager
def _held_interrupt() -> Iterator[threading.Event]:
    """Give an event that the first interrupt sets instead of raising KeyboardInterrupt; in the main thread alone, as
    Python delivers signals there."""
    event = threading.Event()
    before = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or before is not signal.default_int_handler:
        yield event
        return

    def handle(number: int, frame) -> None:
        if event.is_set():
            raise KeyboardInterrupt
        event.set()

    signal.signal(signal.SIGINT, handle)
    try:
        yield event
    finally:
        signal.signal(signal.SIGINT, before)


def _show_progress(shown: bool) -> Progress:
    """A progress bar on stderr with the time that is left."""
    columns = (TextColumn('{task.description}'), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=Console(stderr=True), disable=not shown)
