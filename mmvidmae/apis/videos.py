"""Frame-by-frame reading of video sources, and writing of images."""

import signal
import threading
from collections.abc import Iterable, Iterator, Sized
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import NamedTuple, TypeVar

import cv2
import numpy as np
from PIL import Image
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from mmvidmae.datasets import VideoReadError
from mmvidmae.datasets.sources import VIDEO_SUFFIXES
from mmvidmae.visualization import write_video

from .pairs import open_clip

Video = str | Path | int | Iterable[np.ndarray | None]
Result = TypeVar('Result')

DEFAULT_FPS = 25
"""Frames per second if the source does not specify them."""


class Interrupted(KeyboardInterrupt):
    """An interrupt (Ctrl-C), raised after the results so far have been written.

    Attributes:
        frames: Number of frames with results.
    """

    def __init__(self, frames: int) -> None:
        super().__init__(f'interrupted after {frames} frames')
        self.frames = frames


class Source(NamedTuple):
    """The open inputs of an inferencer.

    Attributes:
        name: Name for messages.
        length: Number of results, if known.
        fps: Frames per second.
        items: What the model takes: frames, or batches of frames or pairs.
        live: Whether it is a camera, which an interrupt ends.
        stem: Name of output files, without a suffix.
    """

    name: str
    length: int | None
    fps: float
    items: Iterable
    live: bool = False
    stem: str = 'frames'


def check_frames(frames: Iterable[np.ndarray | None]) -> Iterator[np.ndarray | None]:
    """Pass on frames of a tracker or segmenter. None, a lost frame, is passed on.

    Raises:
        ValueError: If a frame is not uint8 RGB ``(H, W, 3)``. The message explains how to convert it.
    """
    for number, frame in enumerate(frames):
        if frame is not None:
            _check_frame(frame, number)
        yield frame


def _check_frame(frame: np.ndarray, number: int) -> None:
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
    """Open a video: a file, a folder of images, a camera number, or an iterable of frames.

    Returns:
        The video, whose items are uint8 RGB frames ``(H, W, 3)``, or None for a lost frame.

    Raises:
        VideoReadError: If it cannot be read.
    """
    if isinstance(video, int):
        camera = cv2.VideoCapture(video)
        if not camera.isOpened():
            raise VideoReadError(f'camera {video}', 'it cannot be opened')
        fps = camera.get(cv2.CAP_PROP_FPS)
        fps = fps if fps > 0 else DEFAULT_FPS
        return Source(f'camera {video}', None, fps, _camera_frames(camera), live=True, stem=f'camera_{video}')
    if isinstance(video, str | Path):
        reader = open_clip(video)
        return Source(Path(video).name, len(reader), _frame_rate(video) or DEFAULT_FPS, reader, stem=stem_of(video))
    return Source('frames', len(video) if isinstance(video, Sized) else None, DEFAULT_FPS, video)


def stem_of(path: str | Path) -> str:
    """Name of a video file without its suffix, or of a folder."""
    path = Path(path).resolve()
    return path.name if path.is_dir() else path.stem


def _camera_frames(camera: cv2.VideoCapture) -> Iterator[np.ndarray | None]:
    try:
        while camera.grab():
            found, frame = camera.retrieve()
            yield cv2.cvtColor(frame, cv2.COLOR_BGR2RGB) if found else None
    finally:
        camera.release()


def _frame_rate(video: str | Path) -> float | None:
    """Frames per second of a readable video file. None for a folder, or if the file does not specify them."""
    if Path(video).is_dir():
        return None
    import av

    try:
        with av.open(f'file:{video}', metadata_errors='replace') as container:
            stream = container.streams.best('video')
            return stream.average_rate or stream.guessed_rate
    except av.error.FFmpegError:  # the reader has opened the file and reports errors that matter
        return None


@contextmanager
def interruptible(source: Source, results: Iterable[Result], show_progress: bool) -> Iterator[Iterator[Result]]:
    """Provide the results of a source one by one, with progress on stderr, until the end or an interrupt (Ctrl-C).

    After the first interrupt, the current result is the last one, as at the end of a video. A second interrupt stops at
    once.

    Raises:
        Interrupted: At the end of the block, after an interrupt, unless the source is a camera.
        ValueError: At the end of the block, if there were no results.
    """
    count = 0

    def go_through() -> Iterator[Result]:
        nonlocal count
        try:
            for result in results:
                count += 1
                progress.advance(task)
                yield result
                if interrupted.is_set():
                    return
        except KeyboardInterrupt:  # from the source, or if the first interrupt is not held back
            interrupted.set()

    with _show_progress(show_progress) as progress, _held_interrupt() as interrupted:
        task = progress.add_task(source.name, total=source.length)
        yield go_through()
    if interrupted.is_set() and not source.live:
        raise Interrupted(count)
    if not count and not interrupted.is_set():
        raise ValueError(f'{source.name}: there are no frames')


def write_images(path: Path, images: Iterator[np.ndarray], fps: float) -> bool:
    """Write images as a video, or a single one as an image, as the suffix says.

    Returns:
        Whether there were images. If not, there is no file.

    Raises:
        ValueError: If the file cannot be written.
    """
    first = next(images, None)
    if first is None:
        return False
    if path.suffix.lower() in VIDEO_SUFFIXES:
        write_video(path, chain([first], images), fps)
    else:
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(first).save(path)
    return True


@contextmanager
def _held_interrupt() -> Iterator[threading.Event]:
    """Provide an event that the first interrupt sets instead of raising KeyboardInterrupt. This works only in the main
    thread, where Python delivers signals."""
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
    """Progress bar on stderr with the remaining time."""
    columns = (TextColumn('{task.description}'), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=Console(stderr=True), disable=not shown)
