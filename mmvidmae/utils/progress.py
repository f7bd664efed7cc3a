"""How far a test has come, in frames: an item is a whole video, and the log of videos alone is silent for minutes."""

import time
from collections.abc import Iterable, Iterator
from datetime import timedelta
from typing import TypeVar

from mmengine.logging import MessageHub, print_log

T = TypeVar('T')
KEY = 'frame_progress'
"""Where MMEngine's message hub holds the progress of a test."""


class FrameProgress:
    """Writes frames done, frames a second and the time left to the log.

    Args:
        total: Frames of the test, of this process.
        interval: Seconds between two lines of the log.
    """

    def __init__(self, total: int, interval: float) -> None:
        self.total = total
        self.interval = interval
        self.done = 0
        self.start = self.last = time.monotonic()

    def step(self, video: str) -> None:
        """A frame of a video is done."""
        self.done += 1
        now = time.monotonic()
        if now - self.last < self.interval:
            return
        self.last = now
        speed = self.done / (now - self.start)
        left = timedelta(seconds=round((self.total - self.done) / speed))
        print_log(f'{video}: frame {self.done} of {self.total}, {speed:.2f} frames/s, eta: {left}', 'current')


def count_frames(items: Iterable[T], video: str) -> Iterator[T]:
    """Pass on what comes of a video, an item a frame, and count it if a test is in progress (FrameProgressHook)."""
    progress = MessageHub.get_current_instance().get_info(KEY)
    for item in items:
        if progress is not None:
            progress.step(video)
        yield item
