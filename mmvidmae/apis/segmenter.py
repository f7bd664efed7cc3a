"""Video object segmentation from reference masks."""

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
    """Segments objects through a video from the reference mask of the first frame. Writes masks and a video with
    overlaid masks.

    A video is a file, a folder of images, a camera number, or an iterable of uint8 RGB frames ``(H, W, 3)``. A mask is
    a label map: integers ``(H, W)`` with 0 for background, ids from 1 to 254 and 255 for void, or a PNG file of palette
    or gray values. After an interrupt (Ctrl-C), all files are completed with the results so far. An interrupt ends a
    camera stream as the end of a video does. Memory does not grow with the length of the video.

    Args:
        model: A :class:`DropSeg`, as from :func:`get_model`. It is put into evaluation mode and runs on its current
            device.
        short_side: Short side in pixels to which larger frames are resized for the model. Masks have the original size
            of the frames.
        merge_objects: Whether to treat all nonzero values of a mask, including 255, as one object with id 1.
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
            masks: Mask of the first frame, or masks by frame number for objects that appear later. A later mask need
                not repeat earlier objects.
            mask_dir: Folder for one PNG per frame, ``00000.png`` and so on. Each file is written immediately, so a
                killed run keeps its results so far.
            video_file: Path of the video with overlaid masks. Its suffix selects the format.
            fps: Frames per second of ``video_file``; by default those of the source, or 25 if unknown.

        Returns:
            Number of frames.

        Raises:
            Interrupted: After an interrupt, unless the video is a camera. The files are complete.
            OSError: If a mask cannot be read.
            VideoReadError: If the video cannot be read.
            ValueError: If a mask has a wrong size or shows no object, a frame is invalid, neither ``mask_dir`` nor
                ``video_file`` is given, or ``video_file`` is not the name of a video or cannot be written.
        """
        if mask_dir is None and video_file is None:
            raise ValueError('set mask_dir or video_file: there is no output')
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
        """Segment frames one by one. Yields each frame with its label map, uint8 ``(H, W)``.

        Args:
            frames: uint8 RGB frames ``(H, W, 3)``. None, a lost frame, is an error.
            masks: As in :meth:`__call__`.

        Raises:
            ValueError: If frames are lost, invalid or of different sizes, or a mask has a wrong size or shows no
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
            if state is None:  # all masks are checked before the first frame is segmented
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
