"""Objects through a video, given by their masks."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import torch

from mmvidmae.evaluation.id_maps import read_id_map, write_id_map
from mmvidmae.visualization import draw_masks, write_video

from .videos import Video, check_video_name, open_video, show_progress

if TYPE_CHECKING:
    from mmvidmae.models.segmentors import DropSeg

Mask = str | Path | np.ndarray


class VideoSegmenter:
    """Segments objects, given by a mask of the first frame, through a video, and writes masks and a drawn video.

    A video is a file, a folder of images, the number of a camera, or an iterable of uint8 RGB frames ``(H, W, 3)``. A
    mask is an id map: uint8 ``(H, W)`` with 0 for background and ids up to 255, or a PNG file of palette or grey
    values. Memory does not grow with the length of the video.

    Args:
        model: A :class:`DropSeg`, as from :func:`get_model`; it is put into evaluation mode and runs where it is.
        short_side: Frames are reduced to this short side, in pixels, for the model; masks have the frames' own size.
        progress: Whether to show progress on stderr.
    """

    def __init__(self, model: 'DropSeg', short_side: int = 480, progress: bool = True) -> None:
        self.model = model.eval()
        self.short_side = short_side
        self.progress = progress

    def __call__(
        self,
        video: Video,
        masks: Mask | Mapping[int, Mask],
        mask_dir: str | Path | None = None,
        video_file: str | Path | None = None,
        fps: float = 25,
    ) -> int:
        """Segment a video to its end.

        Args:
            video: See :class:`VideoSegmenter`.
            masks: The mask of the first frame; or masks by the numbers of their frames, for objects that appear later
                (a mask need not repeat the objects that there are already).
            mask_dir: Where to write a PNG a frame, ``00000.png``, as they come: a run that is killed leaves what it
                had.
            video_file: Where to write the video with the masks laid over; its suffix chooses the format.
            fps: Its frames a second.

        Returns:
            Number of frames.

        Raises:
            OSError: If a mask cannot be read.
            UnreadableClip: If the video cannot be read.
            ValueError: If masks do not fit or show no object, there is nowhere to write to, or ``video_file`` is not
                the name of a video.
        """
        if mask_dir is None and video_file is None:
            raise ValueError('say where to write to: mask_dir or video_file')
        check_video_name(video_file)
        name, length, frames = open_video(video)
        count = 0

        def draw() -> Iterator[np.ndarray]:
            nonlocal count
            with show_progress(self.progress) as progress:
                task = progress.add_task(name, total=length)
                for frame, ids in self.segment(frames, masks):
                    if mask_dir is not None:
                        write_id_map(Path(mask_dir, f'{count:05d}.png'), ids)
                    count += 1
                    progress.advance(task)
                    yield frame if video_file is None else draw_masks(frame, ids)

        if video_file is None:
            for _ in draw():
                pass
        else:
            write_video(video_file, draw(), fps)
        return count

    def segment(
        self, frames: Iterable[np.ndarray], masks: Mask | Mapping[int, Mask]
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Frames and their id maps, uint8 ``(H, W)``, as the frames come.

        Args:
            frames: uint8 RGB ``(H, W, 3)``.
            masks: As in :meth:`__call__`.

        Raises:
            ValueError: If frames differ in size or are lost, or masks do not fit or show no object.
        """
        from mmvidmae.models.segmentors import VideoSegmentation

        given = masks if isinstance(masks, Mapping) else {0: masks}
        given = {number: mask if isinstance(mask, np.ndarray) else read_id_map(mask) for number, mask in given.items()}
        if not any((mask > 0).any() for mask in given.values()):
            raise ValueError('no object is given in any mask: there is nothing to segment')
        state, number = None, -1
        for number, frame in enumerate(frames):
            if frame is None:
                raise ValueError(f'frame {number} is lost')
            height, width = frame.shape[:2]
            if state is None:
                state = VideoSegmentation(self.model, (height, width))
            elif (height, width) != state.out_size:
                raise ValueError(f'frame {number} has {height} x {width} pixels, those before {state.out_size}')
            scale = min(1.0, self.short_side / min(height, width))
            reduced = cv2.resize(frame, (round(width * scale), round(height * scale)), interpolation=cv2.INTER_LINEAR)
            tensor = torch.from_numpy(np.ascontiguousarray(reduced)).permute(2, 0, 1)
            yield frame, state.step(tensor, given.get(number)).cpu().numpy()
        late = sorted(frame for frame in given if not 0 <= frame <= number)
        if late:
            raise ValueError(f'a mask is given for frame {late[0]}, but the video has {number + 1} frames')
