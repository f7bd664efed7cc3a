"""Shows what was propagated."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmpretrain.structures import DataSample

from mmvidmae.datasets.readers import read_image
from mmvidmae.registry import HOOKS
from mmvidmae.visualization import contact_sheet, draw_masks, draw_pose, write_video


@HOOKS.register_module()
class PropagationVisHook(Hook):
    """Draws the predicted masks or poses of a frozen evaluation over the frames.

    Each video becomes a contact sheet, ``<work_dir>/propagation/<video_name>.jpg``, with frames at equal distances from
    the first, which is given, to the last; and, if wanted, a video with all frames. Every rank draws its own videos.

    Args:
        max_videos: How many videos each rank draws; None for all.
        num_frames: Frames on a sheet.
        side: Longest side of a picture on a sheet, in pixels.
        video: Whether to write videos, too.
        fps: Frames a second of videos.
    """

    def __init__(
        self,
        max_videos: int | None = None,
        num_frames: int = 8,
        side: int = 320,
        video: bool = False,
        fps: float = 10,
    ) -> None:
        self.max_videos = max_videos
        self.num_frames = num_frames
        self.side = side
        self.video = video
        self.fps = fps

    def after_test_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict | None = None, outputs: Sequence[DataSample] = ()
    ) -> None:
        """Draw the videos of a batch."""
        if self.max_videos is not None and batch_idx >= self.max_videos:
            return
        for sample in outputs:
            stem = Path(runner.work_dir, 'propagation', sample.video_name)
            stem.parent.mkdir(parents=True, exist_ok=True)
            last = len(sample.frame_names) - 1
            chosen = sorted({round(last * i / max(1, self.num_frames - 1)) for i in range(self.num_frames)})
            pictures = [self._shrink(picture) for picture in _draw(sample, chosen)]
            sheet = contact_sheet(pictures, [sample.frame_names[frame] for frame in chosen])
            cv2.imwrite(f'{stem}.jpg', sheet[..., ::-1])  # OpenCV writes BGR
            if self.video:
                write_video(f'{stem}.mp4', _draw(sample, range(last + 1)), self.fps)

    def _shrink(self, picture: np.ndarray) -> np.ndarray:
        scale = self.side / max(picture.shape[:2])
        return cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA) if scale < 1 else picture


def _draw(sample: DataSample, frames: Sequence[int]) -> Iterator[np.ndarray]:
    """Frames of a sample with its prediction, one by one."""
    for frame in frames:
        path = Path(sample.frame_paths[frame])
        picture = read_image(str(path.parent), path.name)
        if 'pred_masks' in sample:
            yield draw_masks(picture, sample.pred_masks[frame])
        else:
            yield draw_pose(picture, sample.pred_joints[frame])
