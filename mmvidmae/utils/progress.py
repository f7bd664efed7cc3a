"""Progress of tests in frames, because a single video can take minutes."""

import time
from collections.abc import Iterable, Iterator
from datetime import timedelta
from typing import TypeVar

from mmengine.logging import MessageHub, print_log

T = TypeVar('T')
KEY = 'frame_progress'
"""Key of the progress in MMEngine's message hub."""


class FrameProgress:
    """Logs the number of processed frames, frames per second and the remaining time.

    Args:
        total: Frames of the test in this process.
        interval: Seconds between two lines of the log.
    """

    def __init__(self, total: int, interval: float) -> None:
        self.total = total
        self.interval = interval
        self.done = 0
        self.start = self.last = time.monotonic()

    def step(self, video: str) -> None:
        """Count a processed frame of a video."""
        self.done += 1
        now = time.monotonic()
        if now - self.last < self.interval:
            return
        self.last = now
        speed = self.done / (now - self.start)
        left = timedelta(seconds=round((self.total - self.done) / speed))
        print_log(f'{video}: frame {self.done} of {self.total}, {speed:.2f} frames/s, eta: {left}', 'current')


def count_frames(items: Iterable[T], video: str) -> Iterator[T]:
    """Yield the items of a video, one per frame, and count them during a test (:class:`FrameProgressHook`)."""
    progress = MessageHub.get_current_instance().get_info(KEY)
    for item in items:
        if progress is not None:
            progress.step(video)
        yield item
