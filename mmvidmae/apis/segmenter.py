"""Objects through a video, given by their masks."""

from collections.abc import Iterable, Iterator, Mapping
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import torch

from mmvidmae.structures.label_maps import nothing_given, read_label_map, to_objects, write_label_map
from mmvidmae.visualization import draw_masks

from .videos import Video, check_frame, check_video_name, open_video, record

if TYPE_CHECKING:
    from mmvidmae.models.segmentors import DropSeg

Mask = str | Path | np.ndarray


class VideoSegmenter:
    """Segments objects, given by a mask of the first frame, through a video, and writes masks and a drawn video.

    A video is a file, a folder of images, the number of a camera, or an iterable of uint8 RGB frames ``(H, W, 3)``. A
    mask is a label map: whole numbers ``(H, W)`` with 0 for background, ids from 1 to 254 and 255 for void, or a PNG
    file of palette or gray values. At an interrupt (Ctrl-C) all files are finished with what there is; it ends a
    camera's pictures like the end of a video. Memory does not grow with the length of the video.

    Args:
        model: A :class:`DropSeg`, as from :func:`get_model`; it is put into evaluation mode and runs where it is.
        short_side: Frames are reduced to this short side, in pixels, for the model; masks have the frames' own size.
        merge_objects: Whether all that is not 0 in a mask, 255 too, is one object, with id 1.
        progress: Whether to show progress on stderr.
    """

    def __init__(
        self, model: 'DropSeg', short_side: int = 480, merge_objects: bool = False, progress: bool = True
    ) -> None:
        self.model = model.eval()
        self.short_side = short_side
        self.merge_objects = merge_objects
        self.progress = progress

    def __call__(
        self,
        video: Video,
        masks: Mask | Mapping[int, Mask],
        mask_dir: str | Path | None = None,
        video_file: str | Path | None = None,
        fps: float | None = None,
    ) -> int:
        """Segment a video to its end.

        Args:
            video: See :class:`VideoSegmenter`.
            masks: The mask of the first frame; or masks by the numbers of their frames, for objects that appear later
                (a mask need not repeat the objects that there are already).
            mask_dir: Where to write a PNG a frame, ``00000.png``, as they come: a run that is killed leaves what it
                had.
            video_file: Where to write the video with the masks laid over; its suffix chooses the format.
            fps: Its frames a second; by default the source's, or 25 where that does not say.

        Returns:
            Number of frames.

        Raises:
            Interrupted: After an interrupt, unless the video is a camera; the files are finished.
            OSError: If a mask cannot be read.
            VideoReadError: If the video cannot be read.
            ValueError: If masks do not fit or show no object, a frame is not as it must be, there is nowhere to write
                to, or ``video_file`` is not the name of a video or cannot be written.
        """
        if mask_dir is None and video_file is None:
            raise ValueError('say where to write to: mask_dir or video_file')
        check_video_name(video_file)
        source = open_video(video)
        masks = masks if isinstance(masks, Mapping) else {0: masks}
        if source.length is not None:
            _check_numbers(masks, source.length)
        numbers = count()

        def keep(result: tuple[np.ndarray, np.ndarray]) -> None:
            if mask_dir is not None:
                write_label_map(Path(mask_dir, f'{next(numbers):05d}.png'), result[1])

        def draw(result: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
            return draw_masks(*result)

        return record(source, self.segment(source.frames, masks), keep, draw, video_file, fps, self.progress)

    def segment(
        self, frames: Iterable[np.ndarray | None], masks: Mask | Mapping[int, Mask]
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Frames and their label maps, uint8 ``(H, W)``, as the frames come.

        Args:
            frames: uint8 RGB ``(H, W, 3)``; None, a lost frame, is an error.
            masks: As in :meth:`__call__`.

        Raises:
            ValueError: If frames differ in size, are lost or not as they must be, or masks do not fit or show no
                object.
        """
        from mmvidmae.models.segmentors import VideoSegmentation, check_mask

        given = masks if isinstance(masks, Mapping) else {0: masks}
        names = {
            number: f'the mask of frame {number}' if isinstance(mask, np.ndarray) else str(mask)
            for number, mask in given.items()
        }
        given = {
            number: mask if isinstance(mask, np.ndarray) else read_label_map(mask) for number, mask in given.items()
        }
        state, number = None, -1
        for number, frame in enumerate(frames):
            if frame is None:
                raise ValueError(f'frame {number} is lost')
            check_frame(frame, number)
            size = frame.shape[:2]
            if state is None:  # all masks are checked before the work begins
                state = VideoSegmentation(self.model, size)
                given = {
                    frame: check_mask(mask, f'the mask of frame {frame}', [size]).numpy()
                    for frame, mask in given.items()
                }
                objects = {frame: to_objects(mask, names[frame], self.merge_objects) for frame, mask in given.items()}
                if not any(mask.any() for mask in objects.values()):
                    raise nothing_given({names[frame]: mask for frame, mask in given.items()})
            elif size != state.out_size:
                raise ValueError(
                    f'frame {number} has {size[0]} x {size[1]} pixels, those before '
                    f'{state.out_size[0]} x {state.out_size[1]}'  # type: ignore[index]
                )
            scale = min(1.0, self.short_side / min(size))
            reduced = cv2.resize(frame, [round(side * scale) for side in size[::-1]], interpolation=cv2.INTER_LINEAR)
            tensor = torch.from_numpy(np.ascontiguousarray(reduced)).permute(2, 0, 1)
            yield frame, state.step(tensor, objects.get(number)).cpu().numpy()
        _check_numbers(given, number + 1)


def _check_numbers(masks: Mapping[int, Mask], num_frames: int) -> None:
    if wrong := sorted(number for number in masks if not 0 <= number < num_frames):
        raise ValueError(f'a mask is given for frame {wrong[0]}, but the video has {num_frames} frames')
