"""One target through a video or a camera's pictures."""

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TextIO

import numpy as np

from mmvidmae.utils.files import atomic_write
from mmvidmae.visualization import draw_box

from .videos import Interrupted, Video, check_frame, check_video_name, open_video, record

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
    where None stands for a frame that was lost: the target is then taken to be where it was. At an interrupt (Ctrl-C)
    all files are finished with what there is; it ends a camera's pictures like the end of a video. Only boxes are kept
    in memory.

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
        fps: float | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Follow the target to the end.

        Args:
            video: See :class:`Tracker`.
            box: (x, y, w, h) in pixels of the first frame.
            txt: Where to write a line ``x,y,w,h`` a frame, as they come: a run that is killed leaves what it had.
            json_file: Where to write boxes and scores.
            video_file: Where to write the video with the boxes drawn in; its suffix chooses the format.
            fps: Its frames a second; by default the source's, or 25 where that does not say.

        Returns:
            Boxes ``(T, 4)`` (x, y, w, h) in pixels and scores ``(T,)`` in [0, 1], float64.

        Raises:
            Interrupted: After an interrupt, unless the video is a camera; the files are finished.
            VideoReadError: If the video cannot be read.
            ValueError: If the target cannot be taken up, a frame is not as it must be, or ``video_file`` is not the
                name of a video or cannot be written.
        """
        check_video_name(video_file)
        source = open_video(video)
        boxes, scores = [], []
        lines, picture, interrupt = None, None, None

        def keep(tracked: TrackedFrame) -> None:
            nonlocal lines
            boxes.append(tracked.box)
            scores.append(tracked.score)
            if txt is not None:
                lines = lines or opened.enter_context(_line_writer(txt))
                lines.write(','.join(f'{value:.3f}' for value in tracked.box) + '\n')

        def draw(tracked: TrackedFrame) -> np.ndarray:
            nonlocal picture
            picture = np.zeros_like(picture) if tracked.frame is None else tracked.frame
            return draw_box(picture, tracked.box, f'{len(boxes) - 1}  {tracked.score:.2f}')

        with ExitStack() as opened:
            try:
                record(source, self.follow(source.frames, box), keep, draw, video_file, fps, self.progress)
            except Interrupted as error:
                interrupt = error
        if json_file is not None and boxes:
            with atomic_write(json_file) as part:
                part.write_text(json.dumps(dict(video=source.name, boxes_xywh=boxes, scores=scores)))
        if interrupt is not None:
            raise interrupt
        return np.array(boxes), np.array(scores)

    def follow(self, frames: Iterable[np.ndarray | None], box: Sequence[float]) -> Iterator[TrackedFrame]:
        """Where the target is in each frame, as the frames come.

        Args:
            frames: uint8 RGB ``(H, W, 3)``, or None for a lost one.
            box: (x, y, w, h) in pixels of the first frame.

        Raises:
            ValueError: If the first frame is lost, the box is not four finite numbers, has no area or lies outside of
                the frame, or a frame is not as it must be.
        """
        target, score = None, 1.0
        for number, frame in enumerate(frames):
            if frame is None:
                if target is None:
                    raise ValueError('the first frame, which shows the target, is missing')
                yield TrackedFrame(None, target.box, 0.0)
                continue
            check_frame(frame, number)
            image = np.ascontiguousarray(frame[..., ::-1]) if self.model.data_preprocessor.bgr_to_rgb else frame
            if target is None:
                target = self.model.initialize(image, box)
            else:
                target, score = self.model.track(image, target)
            yield TrackedFrame(frame, target.box, score)


def _line_writer(path: str | Path) -> TextIO:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    return open(path, 'w', buffering=1, encoding='utf-8')
