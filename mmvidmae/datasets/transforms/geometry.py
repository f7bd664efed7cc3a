"""Crops, flips and resizes of the frames of clips, on uint8 tensors."""

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from mmcv.transforms import BaseTransform
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as F

from mmvidmae.registry import TRANSFORMS

Interpolation = Literal['bicubic', 'bilinear']
Size = int | tuple[int, int]


def draw_box(
    height: int, width: int, scale: tuple[float, float], ratio: tuple[float, float], rng: np.random.Generator
) -> tuple[int, int, int, int]:
    """Draw a box as torchvision's ``RandomResizedCrop`` does.

    Up to ten times a share of the area is drawn, uniform in ``scale``, and an aspect ratio (width / height),
    log-uniform in ``ratio``. The first box that fits gets a uniform position. If none fits, it is the largest center
    box with an allowed aspect ratio.

    Args:
        height: Height of the picture.
        width: Width of the picture.
        scale: Smallest and largest share of the area.
        ratio: Smallest and largest width / height.
        rng: Generator of the draws: share, log ratio (each attempt), top, left.

    Returns:
        (top, left, height, width) in pixels.
    """
    for _ in range(10):
        area = height * width * rng.uniform(*scale)
        aspect = math.exp(rng.uniform(math.log(ratio[0]), math.log(ratio[1])))
        h, w = round(math.sqrt(area / aspect)), round(math.sqrt(area * aspect))
        if 0 < h <= height and 0 < w <= width:
            return int(rng.integers(height - h + 1)), int(rng.integers(width - w + 1)), h, w
    return center_box(height, width, ratio)


def center_box(height: int, width: int, ratio: tuple[float, float]) -> tuple[int, int, int, int]:
    """Largest center box (top, left, height, width) of a picture whose width / height is in ``ratio``."""
    aspect = min(max(width / height, ratio[0]), ratio[1])
    h, w = min(height, round(width / aspect)), min(width, round(height * aspect))
    return (height - h) // 2, (width - w) // 2, h, w


def check_range(part: object, name: str, values: Sequence[float], most: float = math.inf) -> tuple[float, float]:
    """Require (lo, hi) with 0 < lo <= hi, and hi at most ``most``."""
    lo, hi = values
    if not 0 < lo <= hi <= most:
        limit = '' if most == math.inf else f' <= {most:g}'
        raise ValueError(f'{type(part).__name__}: {name} must be (lo, hi) with 0 < lo <= hi{limit}, got {values}')
    return lo, hi


@TRANSFORMS.register_module()
class PairRandomResizedCrop(BaseTransform):
    """Crop a random box and resize it, as torchvision's ``RandomResizedCrop`` does.

    The box has a uniform share of the frame's area and a log-uniform aspect ratio. If none of ten draws fits into the
    frame, the largest center box with an allowed aspect ratio is used.

    **Required Keys:**

    - frames
    - rng

    **Modified Keys:**

    - frames: (num_pairs, T, 3, H, W) with the new H and W.

    Args:
        size: Output size in pixels, one number for a square or (height, width).
        scale: Smallest and largest share of the area. DropMAE: (0.2, 1); SiamMAE: (0.5, 1).
        shared: Whether all frames of a clip share one crop (SiamMAE). Otherwise each frame has its own (DropMAE), so
            that matching patches are at different positions.
        ratio: Smallest and largest width / height of the box.
        interpolation: ``'bicubic'`` (DropMAE, RSP) or ``'bilinear'`` (CropMAE's SiamMAE); always anti-aliased.
    """

    def __init__(
        self,
        size: Size,
        scale: tuple[float, float],
        shared: bool,
        ratio: tuple[float, float] = (3 / 4, 4 / 3),
        interpolation: Interpolation = 'bicubic',
    ) -> None:
        self.size = size_pair(size)
        self.scale = check_range(self, 'scale', scale, most=1)
        self.ratio = check_range(self, 'ratio', ratio)
        self.shared = shared
        self.interpolation = InterpolationMode(interpolation)

    def transform(self, results: dict) -> dict:
        frames, rng = results['frames'], results['rng']
        height, width = frames.shape[-2:]
        groups = frames.flatten(0, 1).split(frames.shape[1] if self.shared else 1)
        cropped = [
            F.resized_crop(
                group,
                *draw_box(height, width, self.scale, self.ratio, rng),
                self.size,
                self.interpolation,
                antialias=True,
            )
            for group in groups
        ]
        results['frames'] = torch.cat(cropped).unflatten(0, frames.shape[:2])
        return results

    def __repr__(self) -> str:
        return (
            f'{type(self).__name__}(size={self.size}, scale={self.scale}, shared={self.shared}, ratio={self.ratio}, '
            f'interpolation={self.interpolation.value!r})'
        )


@TRANSFORMS.register_module()
class PairRandomFlip(BaseTransform):
    """Flip frames horizontally.

    **Required Keys:**

    - frames
    - rng

    **Modified Keys:**

    - frames

    Args:
        shared: Whether all frames of a clip are flipped together (SiamMAE) or independently (DropMAE).
        prob: Probability of the flip.
    """

    def __init__(self, shared: bool, prob: float = 0.5) -> None:
        if not 0 <= prob <= 1:
            raise ValueError(f'PairRandomFlip: prob must lie between 0 and 1, got {prob}')
        self.shared = shared
        self.prob = prob

    def transform(self, results: dict) -> dict:
        frames = results['frames']
        clips = tuple(frames.shape[:2])
        coins = results['rng'].random((clips[0], 1 if self.shared else clips[1])) < self.prob
        coins = np.broadcast_to(coins, clips).flat
        flipped = [frame.flip(-1) if coin else frame for frame, coin in zip(frames.flatten(0, 1), coins, strict=True)]
        results['frames'] = torch.stack(flipped).unflatten(0, clips)
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}(shared={self.shared}, prob={self.prob})'


@TRANSFORMS.register_module()
class FrameCutOut(BaseTransform):
    """Replace a random box of some frames by one color (cut-out, arXiv 1708.04552). On the past frame, the model has to
    predict the content of the box from the rest.

    **Required Keys:**

    - frames
    - rng

    **Modified Keys:**

    - frames

    Args:
        scale: Smallest and largest share of the area.
        frames: Positions of the frames in the clip, 0 is the first. Each has a box of its own.
        prob: Probability of the box, drawn for each frame.
        ratio: Smallest and largest width / height of the box.
        color: RGB color, 0 to 255. The default is the mean of ImageNet, which is 0 after normalization.

    Raises:
        ValueError: If a value is out of range.
    """

    def __init__(
        self,
        scale: tuple[float, float],
        frames: Sequence[int] = (0,),
        prob: float = 1.0,
        ratio: tuple[float, float] = (3 / 4, 4 / 3),
        color: tuple[int, int, int] = (124, 116, 104),
    ) -> None:
        self.scale = check_range(self, 'scale', scale, most=1)
        self.ratio = check_range(self, 'ratio', ratio)
        if not 0 <= prob <= 1:
            raise ValueError(f'FrameCutOut: prob must lie between 0 and 1, got {prob}')
        if len(color) != 3 or not all(0 <= value <= 255 for value in color):
            raise ValueError(f'FrameCutOut: color must be three values from 0 to 255, got {color}')
        self.frames = tuple(frames)
        self.prob = prob
        self.color = tuple(color)

    def transform(self, results: dict) -> dict:
        frames, rng = results['frames'].clone(), results['rng']
        num_frames, (height, width) = frames.shape[1], frames.shape[-2:]
        if not {*self.frames} <= {*range(num_frames)}:
            raise ValueError(f'FrameCutOut: frames={self.frames} must be positions in clips of {num_frames} frames')
        color = torch.tensor(self.color, dtype=frames.dtype)[:, None, None]
        for clip in frames:
            for position in self.frames:
                if rng.random() < self.prob:
                    top, left, h, w = draw_box(height, width, self.scale, self.ratio, rng)
                    clip[position, :, top : top + h, left : left + w] = color
        results['frames'] = frames
        return results

    def __repr__(self) -> str:
        return (
            f'{type(self).__name__}(scale={self.scale}, frames={self.frames}, prob={self.prob}, ratio={self.ratio}, '
            f'color={self.color})'
        )


@TRANSFORMS.register_module()
class PairResize(BaseTransform):
    """Resize frames to the smallest size that covers ``size``, keeping the aspect ratio. The side of a square
    ``size`` becomes the short side.

    **Required Keys:**

    - frames

    **Modified Keys:**

    - frames

    Args:
        size: Size to cover in pixels, one number for a square or (height, width).
        interpolation: ``'bicubic'`` or ``'bilinear'``; always anti-aliased.
    """

    def __init__(self, size: Size, interpolation: Interpolation = 'bicubic') -> None:
        self.size = size_pair(size)
        self.interpolation = InterpolationMode(interpolation)

    def transform(self, results: dict) -> dict:
        frames = results['frames']
        height, width = frames.shape[-2:]
        factor = max(self.size[0] / height, self.size[1] / width)
        size = [max(self.size[0], int(height * factor)), max(self.size[1], int(width * factor))]
        results['frames'] = F.resize(frames, size, self.interpolation, antialias=True)
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}(size={self.size}, interpolation={self.interpolation.value!r})'


@TRANSFORMS.register_module()
class PairCenterCrop(BaseTransform):
    """Crop the center of frames that are at least as large as ``size``, as after ``PairResize``.

    **Required Keys:**

    - frames

    **Modified Keys:**

    - frames

    Args:
        size: Output size in pixels, one number for a square or (height, width).

    Raises:
        ValueError: On a frame smaller than ``size``.
    """

    def __init__(self, size: Size) -> None:
        self.size = size_pair(size)

    def transform(self, results: dict) -> dict:
        height, width = results['frames'].shape[-2:]
        if height < self.size[0] or width < self.size[1]:
            raise ValueError(
                f'PairCenterCrop: frames of (height, width) {(height, width)} are smaller than {self.size}; '
                'put PairResize before it'
            )
        results['frames'] = F.center_crop(results['frames'], self.size)
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}(size={self.size})'


def size_pair(size: Size) -> tuple[int, int]:
    """(height, width) of a size given as one number or two."""
    height, width = (size, size) if isinstance(size, int) else size
    if height < 1 or width < 1:
        raise ValueError(f'size must be positive, got {size}')
    return height, width
