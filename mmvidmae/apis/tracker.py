"""One target through a video or a camera's pictures."""

import json
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TextIO

import numpy as np

from mmvidmae.utils.files import whole_file
from mmvidmae.visualization import draw_box, write_video

from .videos import Video, check_video_name, open_video, show_progress

if TYPE_CHECKING:
    from mmvidmae.models.trackers.drop_track import DropTrack


class TrackedFrame(NamedTuple):
    """Where the target is in a frame.

    Attributes:
        frame: The frame, ``(H, W, 3)`` uint8 RGB, or None if it was lost.
        box: (x, y, w, h) in pixels.
        score: In [0, 1]; 1 for the given box, 0 for a frame that was lost.
    """

    frame: np.ndarray | None
    box: list[float]
    score: float


class Tracker:
    """Follows a target, given by its box in the first frame, and writes boxes and a drawn video.

    A video is a file, a folder of images, the number of a camera, or an iterable of uint8 RGB frames ``(H, W, 3)``,
    where None stands for a frame that was lost: the target is then taken to be where it was. An interrupt (Ctrl-C) ends
    a camera's pictures like the end of a video. Only boxes are kept in memory.

    Args:
        model: A tracker, as from :func:`get_model`; it is put into evaluation mode and runs where it is.
        progress: Whether to show progress on stderr.
    """

    def __init__(self, model: 'DropTrack', progress: bool = True) -> None:
        self.model = model.eval()
        self.progress = progress

    def __call__(
        self,
        video: Video,
        box: Sequence[float],
        txt: str | Path | None = None,
        json_file: str | Path | None = None,
        video_file: str | Path | None = None,
        fps: float = 25,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Follow the target to the end.

        Args:
            video: See :class:`Tracker`.
            box: (x, y, w, h) in pixels of the first frame.
            txt: Where to write a line ``x,y,w,h`` a frame, as they come: a run that is killed leaves what it had.
            json_file: Where to write boxes and scores.
            video_file: Where to write the video with the boxes drawn in; its suffix chooses the format.
            fps: Its frames a second.

        Returns:
            Boxes ``(T, 4)`` (x, y, w, h) in pixels and scores ``(T,)`` in [0, 1], float64.

        Raises:
            UnreadableClip: If the video cannot be read.
            ValueError: If the target cannot be taken up, or ``video_file`` is not the name of a video.
        """
        check_video_name(video_file)
        name, length, frames = open_video(video)
        boxes, scores = [], []

        def record() -> Iterator[TrackedFrame]:
            with ExitStack() as opened:
                lines = None if txt is None else opened.enter_context(_line_writer(txt))
                progress = opened.enter_context(show_progress(self.progress))
                task = progress.add_task(name, total=length)
                if isinstance(video, int):
                    opened.enter_context(suppress(KeyboardInterrupt))
                for tracked in self.follow(frames, box):
                    boxes.append(tracked.box)
                    scores.append(tracked.score)
                    if lines is not None:
                        lines.write(','.join(f'{value:.3f}' for value in tracked.box) + '\n')
                    progress.advance(task)
                    yield tracked

        if video_file is None:
            deque(record(), maxlen=0)
        else:
            write_video(video_file, _drawn(record()), fps)
        if json_file is not None:
            with whole_file(json_file) as part:
                part.write_text(json.dumps(dict(video=name, boxes_xywh=boxes, scores=scores)))
        return np.array(boxes), np.array(scores)

    def follow(self, frames: Iterable[np.ndarray | None], box: Sequence[float]) -> Iterator[TrackedFrame]:
        """Where the target is in each frame, as the frames come.

        Args:
            frames: uint8 RGB ``(H, W, 3)``, or None for a lost one.
            box: (x, y, w, h) in pixels of the first frame.

        Raises:
            ValueError: If the first frame is lost, or the box is not finite, has no area or lies outside of it.
        """
        target, score = None, 1.0
        for frame in frames:
            if frame is None:
                if target is None:
                    raise ValueError('the first frame, which shows the target, is missing')
                yield TrackedFrame(None, target.box, 0.0)
                continue
            image = np.ascontiguousarray(frame[..., ::-1]) if self.model.data_preprocessor.bgr_to_rgb else frame
            if target is None:
                target = self.model.start(image, box)
            else:
                target, score = self.model.step(image, target)
            yield TrackedFrame(frame, target.box, score)


def _drawn(tracked: Iterable[TrackedFrame]) -> Iterator[np.ndarray]:
    picture = None
    for number, (frame, box, score) in enumerate(tracked):
        picture = np.zeros_like(picture) if frame is None else frame
        yield draw_box(picture, box, f'{number}  {score:.2f}')


def _line_writer(path: str | Path) -> TextIO:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    return open(path, 'w', buffering=1, encoding='utf-8')
