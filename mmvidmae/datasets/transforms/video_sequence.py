"""Loading and packing of annotated videos for label propagation."""

import math
import os

import cv2
import numpy as np
import torch
from mmcv.transforms import BaseTransform
from mmpretrain.structures import DataSample
from PIL import Image

from mmvidmae.registry import TRANSFORMS

from ..readers import VideoReadError, read_image

Size = tuple[int, int]


def short_side_size(size: Size, short: int, divisor: int = 64) -> Size:
    """Size with a given short side and the same aspect ratio. The long side is rounded down to a multiple of
    ``divisor``.

    Args:
        size: ``(H, W)`` in pixels. For a square, W is the long side.
        short: Short side in pixels.
        divisor: Divisor of the long side in pixels.

    Source: ``read_frame`` of DINO's ``eval_video_segmentation.py``: 480 x 854 becomes 480 x 832.
    """
    height, width = size
    if height > width:
        return int(short * height / width // divisor * divisor), short
    return short, int(short * width / height // divisor * divisor)


def round_up_size(size: Size, short: int, divisor: int) -> Size:
    """Size with a given short side and the same aspect ratio. First the short side is rounded up to a multiple of
    ``divisor``, then the long side.

    Args:
        size: ``(H, W)`` in pixels.
        short: Short side in pixels.
        divisor: Divisor of both sides in pixels.

    Source: ``ResizeToMultiple`` of DINOv3's ``notebooks/segmentation_tracking.ipynb``: 480 x 854 becomes 960 x 1712 for
    patches of 16 pixels.
    """
    short = math.ceil(short / divisor) * divisor
    long = math.ceil(max(size) * short / min(size) / divisor) * divisor
    return (short, long) if size[1] > size[0] else (long, short)


def long_side_size(size: Size, long: int, divisor: int = 64) -> Size:
    """Size with a given long side and the same aspect ratio. The short side is rounded down to a multiple of
    ``divisor``.

    Args:
        size: ``(H, W)`` in pixels. For a square, H is the long side.
        long: Long side in pixels.
        divisor: Divisor of the short side in pixels.

    Source: CropMAE's evaluation on VIP: 720 x 1280 becomes 448 x 880.
    """
    height, width = size
    if height >= width:
        return long, int(long * width / height // divisor * divisor)
    return int(long * height / width // divisor * divisor), long


@TRANSFORMS.register_module()
class LoadVideoFrames(BaseTransform):
    """Read the frames of a video and resize each one immediately. Only one frame at a time is held at full size.

    Give at most one of ``size``, ``short_side`` and ``long_side``. With none, frames keep their size, rounded down to
    multiples of ``divisor``.

    **Required Keys:**

    - frame_paths

    **Added Keys:**

    - frames (torch.Tensor): uint8 RGB ``(T, 3, h, w)``, 0 to 255, channels last in memory.
    - ori_shape, img_shape, out_shape (tuple): ``(H, W)`` on disk, of ``frames``, and of predictions.
    - input_size (str): The size rule as text, for the score file.

    Args:
        size: ``(h, w)`` in pixels; the aspect ratio is not kept.
        short_side: Short side in pixels, see :func:`short_side_size`.
        long_side: Long side in pixels, see :func:`long_side_size`.
        divisor: Divisor of the other side in pixels. Without a size rule, divisor of both sides.
        round_up: Whether ``short_side`` rounds up both sides, see :func:`round_up_size`. Otherwise the long side is
            rounded down.
        interpolation: ``'bilinear'`` (OpenCV), or ``'bicubic'`` (Pillow, with antialiasing).
        out_size: ``(H, W)`` of predictions, to reproduce published numbers; by default the size on disk.

    Raises:
        ValueError: If more than one size rule is given, or an option has an unknown value.
        VideoReadError: If a frame cannot be read, or frames differ in size.
    """

    def __init__(
        self,
        size: Size | None = None,
        short_side: int | None = None,
        long_side: int | None = None,
        divisor: int = 64,
        round_up: bool = False,
        interpolation: str = 'bilinear',
        out_size: Size | None = None,
    ) -> None:
        if sum(rule is not None for rule in (size, short_side, long_side)) > 1:
            raise ValueError('LoadVideoFrames: give one of size, short_side and long_side')
        if round_up and short_side is None:
            raise ValueError('LoadVideoFrames: round_up needs short_side')
        if interpolation not in ('bilinear', 'bicubic'):
            raise ValueError(f"LoadVideoFrames: interpolation must be 'bilinear' or 'bicubic', got {interpolation!r}")
        self.round_up = round_up
        self.interpolation = interpolation
        self.size = None if size is None else tuple(size)
        self.short_side = short_side
        self.long_side = long_side
        self.divisor = divisor
        self.out_size = None if out_size is None else tuple(out_size)

    @property
    def rule(self) -> str:
        """Size rule as text."""
        if self.size is not None:
            return '{}x{}'.format(*self.size)
        if self.round_up:
            return f'short side {self.short_side}, both rounded up to multiples of {self.divisor}'
        for name, side in (('short', self.short_side), ('long', self.long_side)):
            if side is not None:
                return f'{name} side {side}, the other a multiple of {self.divisor}'
        return f'native, multiples of {self.divisor}'

    def resized(self, size: Size) -> Size:
        """Input size ``(h, w)`` for frames of size ``(H, W)`` on disk.

        Raises:
            ValueError: If a side is rounded down to zero.
        """
        if self.size is not None:
            new = self.size
        elif self.round_up:
            new = round_up_size(size, self.short_side, self.divisor)
        elif self.short_side is not None:
            new = short_side_size(size, self.short_side, self.divisor)
        elif self.long_side is not None:
            new = long_side_size(size, self.long_side, self.divisor)
        else:
            new = tuple(side // self.divisor * self.divisor for side in size)
        if min(new) < 1:
            raise ValueError(f'frames of {size[0]} x {size[1]} pixels are too small for the input size: {self.rule}')
        return new

    def transform(self, results: dict) -> dict:
        """Read the frames."""
        paths = results['frame_paths']
        shape = frames = None
        for index, path in enumerate(paths):
            frame = read_image(*os.path.split(path))
            if shape is None:
                shape = frame.shape[:2]
                height, width = self.resized(shape)
                frames = np.empty((len(paths), height, width, 3), np.uint8)
            if frame.shape[:2] != shape:
                folder, name = os.path.split(path)
                raise VideoReadError(
                    folder, f'{name} is {frame.shape[1]}x{frame.shape[0]}, the frames before {shape[1]}x{shape[0]}'
                )
            if self.interpolation == 'bicubic':
                frames[index] = Image.fromarray(frame).resize((width, height), Image.Resampling.BICUBIC)
            else:
                cv2.resize(frame, (width, height), dst=frames[index], interpolation=cv2.INTER_LINEAR)
        results['frames'] = torch.from_numpy(frames).permute(0, 3, 1, 2)
        results.update(ori_shape=shape, img_shape=(height, width), out_shape=self.out_size or shape)
        results['input_size'] = self.rule + (', bicubic' if self.interpolation == 'bicubic' else '')
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}({self.rule}, out_size={self.out_size})'


@TRANSFORMS.register_module()
class PackVideoSequence(BaseTransform):
    """Pack an annotated video into ``inputs`` and a data sample.

    **Required Keys:**

    - frames, video_name, frame_names, frame_paths, ori_shape, img_shape, out_shape, input_size
    - reference_masks and gt_paths, or reference_joints and gt_joints

    **Returned Keys:**

    - inputs (torch.Tensor): ``frames``.
    - data_samples (DataSample): labels as fields, all other keys as metainfo.
    """

    META = ('video_name', 'frame_names', 'frame_paths', 'ori_shape', 'img_shape', 'out_shape', 'input_size')
    LABELS = ('reference_masks', 'gt_paths', 'reference_joints', 'gt_joints')

    def transform(self, results: dict) -> dict:
        """Pack the video."""
        sample = DataSample(metainfo={key: results[key] for key in self.META})
        for key in self.LABELS:
            if key in results:
                sample.set_field(results[key], key)
        return dict(inputs=results['frames'], data_samples=sample)

    def __repr__(self) -> str:
        return f'{type(self).__name__}()'
