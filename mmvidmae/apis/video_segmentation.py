"""Video object segmentation from reference masks."""

from collections.abc import Iterable, Iterator, Mapping
from os import PathLike
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from mmengine.structures import BaseDataElement
from torch import Tensor

from mmvidmae.models.segmentors import DropSeg, VideoSegmentation, check_mask
from mmvidmae.structures.label_maps import nothing_given, read_label_map, to_objects, write_label_map
from mmvidmae.visualization import VideoVisualizer

from .base import VideoInferencer
from .videos import Source, Video, check_frames, open_video

Mask = str | Path | np.ndarray
Frame = tuple[np.ndarray, Tensor, np.ndarray | None]


class VideoSegmentationInferencer(VideoInferencer):
    """Segments objects through a video from the reference mask of the first frame. See :class:`VideoInferencer` for the
    arguments of the constructor.

    Example:
        >>> segmenter = VideoSegmentationInferencer('CONFIG.py', 'CHECKPOINT.pth')
        >>> segmenter('video.mp4', masks='first_frame.png', out_dir='results')
        >>> for sample in segmenter.stream(frames, masks=mask):
        ...     sample.frame, sample.pred_mask
    """

    model_type = DropSeg
    visualizer_type = VideoVisualizer
    preprocess_kwargs = {'masks', 'short_side', 'merge_objects'}

    def __call__(  # type: ignore[override]
        self,
        inputs: Video,
        masks: Mask | Mapping[int, Mask],
        short_side: int = 480,
        merge_objects: bool = False,
        return_datasamples: bool = False,
        out_dir: str | PathLike | None = None,
        save_pred: bool = True,
        save_vis: bool = True,
        vis_format: str = '.mp4',
        fps: float | None = None,
    ) -> dict[str, Any]:
        """Segment a video to its end.

        Args:
            inputs: Video file, folder of images, camera number, or an iterable of uint8 RGB frames ``(H, W, 3)``. A
                lost frame is an error.
            masks: Mask of the first frame, or masks by frame number for objects that appear later. A mask is a label
                map: integers ``(H, W)`` with 0 for background, ids from 1 to 254 and 255 for void, or a PNG file of
                palette or gray values. A later mask need not repeat earlier objects.
            short_side: Short side in pixels to which larger frames are resized for the model. Predicted masks have the
                original size.
            merge_objects: Whether to treat all nonzero values of a mask, including 255, as one object with id 1.
            return_datasamples: Whether to return a data sample for each frame, with the frame and its mask.
            out_dir: Folder for output files. By default nothing is written.
            save_pred: Whether to write a PNG for each frame, ``<out_dir>/preds/<name>/00000.png`` and so on. Each file
                is written at once, so a killed run keeps its masks.
            save_vis: Whether to write ``<out_dir>/vis/<name>.mp4`` with overlaid masks.
            vis_format: Suffix of this video.
            fps: Frames per second of this video; by default those of the source, or 25 if unknown.

        Returns:
            ``predictions``: a dictionary of ``video``, ``num_frames`` and ``mask_dir``, or data samples with ``frame``
            and ``pred_mask`` (label map ``(H, W)``, uint8). ``visualization``: path of the video with masks, or None.

        Raises:
            Interrupted: After an interrupt, unless the video is a camera. The files are complete.
            OSError: If a mask cannot be read.
            VideoReadError: If the video cannot be read.
            ValueError: If a mask has a wrong size or shows no object, a frame is lost, invalid or of another size, the
                output video cannot be written, or neither data samples nor files are wanted.
        """
        if not return_datasamples and (out_dir is None or not (save_pred or save_vis)):
            raise ValueError('there is no output: set out_dir or return_datasamples')
        outputs = (out_dir, save_pred, save_vis, vis_format, fps)
        given: dict[str, Any] = dict(masks=masks, short_side=short_side, merge_objects=merge_objects)
        return super().__call__(inputs, return_datasamples, 1, *outputs, **given)

    def preprocess(
        self,
        inputs: Video,
        batch_size: int = 1,
        *,
        masks: Mask | Mapping[int, Mask],
        short_side: int = 480,
        merge_objects: bool = False,
    ) -> Source:
        """Open a video and read its masks. Items are the frame, the input of the model, and the mask, if any."""
        source = open_video(inputs)
        masks = masks if isinstance(masks, Mapping) else {0: masks}
        if source.length is not None:
            _check_numbers(masks, source.length)
        names = {
            n: f'the mask of frame {n}' if isinstance(mask, np.ndarray) else str(mask) for n, mask in masks.items()
        }
        given = {n: m if isinstance(m, np.ndarray) else read_label_map(m) for n, m in masks.items()}
        return source._replace(items=_frames(source.items, given, names, short_side, merge_objects))

    def forward(self, inputs: Iterable[Frame]) -> Iterator[BaseDataElement]:
        """Segment frame by frame."""
        state = None
        for number, (frame, image, mask) in enumerate(inputs):
            state = state or VideoSegmentation(self.model, frame.shape[:2])
            ids = state.step(image, mask).cpu().numpy()
            yield BaseDataElement(metainfo=dict(frame_id=number), frame=frame, pred_mask=ids)

    def postprocess(
        self, preds: Iterable[BaseDataElement], source: Source, path: Path | None, results: dict[str, Any]
    ) -> Iterator[BaseDataElement]:
        """Save masks."""
        summary = results['predictions'] = dict(video=source.name, num_frames=0, mask_dir=path and str(path))
        for pred in preds:
            if path is not None:
                write_label_map(path / f'{pred.frame_id:05d}.png', pred.pred_mask)
            summary['num_frames'] += 1
            yield pred


def _frames(
    frames: Iterable[np.ndarray | None],
    masks: dict[int, np.ndarray],
    names: dict[int, str],
    short_side: int,
    merge_objects: bool,
) -> Iterator[Frame]:
    size, number = None, -1
    for number, frame in enumerate(check_frames(frames)):
        if frame is None:
            raise ValueError(f'frame {number} is lost')
        if size is None:  # all masks are checked before the first frame is segmented
            size = frame.shape[:2]
            masks = {n: check_mask(mask, f'the mask of frame {n}', [size]).numpy() for n, mask in masks.items()}
            objects = {n: to_objects(mask, names[n], merge_objects) for n, mask in masks.items()}
            if not any(mask.any() for mask in objects.values()):
                raise nothing_given({names[n]: mask for n, mask in masks.items()})
        elif frame.shape[:2] != size:
            height, width = frame.shape[:2]
            raise ValueError(f'frame {number} has {height} x {width} pixels, those before {size[0]} x {size[1]}')
        scale = min(1.0, short_side / min(size))
        reduced = cv2.resize(frame, [round(side * scale) for side in size[::-1]], interpolation=cv2.INTER_LINEAR)
        yield frame, torch.from_numpy(np.ascontiguousarray(reduced)).permute(2, 0, 1), objects.get(number)
    _check_numbers(masks, number + 1)


def _check_numbers(masks: Mapping[int, Any], num_frames: int) -> None:
    if wrong := sorted(number for number in masks if not 0 <= number < num_frames):
        raise ValueError(f'a mask is given for frame {wrong[0]}, but the video has {num_frames} frames')
