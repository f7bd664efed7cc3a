"""Videos of any kind as frames that come one by one."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import cv2
import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from mmvidmae.datasets import UnreadableClip
from mmvidmae.datasets.sources import VIDEO_SUFFIXES

from .pairs import open_clip

Video = str | Path | int | Iterable[np.ndarray | None]


def check_video_name(path: str | Path | None) -> None:
    """Check the name of a video to be written, if there is one, before any work is done for it.

    Raises:
        ValueError: If its suffix is not that of a video.
    """
    if path is not None and Path(path).suffix.lower() not in VIDEO_SUFFIXES:
        raise ValueError(f'{path}: not the name of a video, as {Path(path).stem}.mp4 would be')


def open_video(video: Video) -> tuple[str, int | None, Iterable[np.ndarray | None]]:
    """Name, number of frames if known, and frames (uint8 RGB ``(H, W, 3)``, None for a lost one) of a video.

    Raises:
        UnreadableClip: If it cannot be read.
    """
    if isinstance(video, int):
        return f'camera {video}', None, _camera(video)
    if isinstance(video, str | Path):
        reader = open_clip(video)
        return Path(video).name, len(reader), reader
    return 'frames', len(video) if hasattr(video, '__len__') else None, video


def _camera(number: int) -> Iterator[np.ndarray | None]:
    camera = cv2.VideoCapture(number)
    try:
        if not camera.isOpened():
            raise UnreadableClip(f'camera {number}', 'it cannot be opened')
        while camera.grab():
            found, frame = camera.retrieve()
            yield cv2.cvtColor(frame, cv2.COLOR_BGR2RGB) if found else None
    finally:
        camera.release()


def show_progress(shown: bool) -> Progress:
    """A progress bar on stderr with the time that is left."""
    columns = (TextColumn('{task.description}'), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=Console(stderr=True), disable=not shown)
