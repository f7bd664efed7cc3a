"""Crops, flips and resizes of frame pairs, on uint8 tensors."""

import math
from typing import Literal

import numpy as np
import torch
from mmcv.transforms import BaseTransform
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as F

from mmvidmae.registry import TRANSFORMS

Interpolation = Literal['bicubic', 'bilinear']


@TRANSFORMS.register_module()
class PairRandomResizedCrop(BaseTransform):
    """Crop a random box and resize it, as torchvision's ``RandomResizedCrop`` does.

    The box has a uniform share of the frame's area and a log-uniform aspect ratio. If none of ten draws fits into the
    frame, the largest center box with an allowed aspect ratio is used.

    **Required Keys:**

    - frames
    - rng

    **Modified Keys:**

    - frames: (num_pairs, 2, 3, H, W) with the new H and W.

    Args:
        size: Output size in pixels, one number for a square or (height, width).
        scale: Smallest and largest share of the area. DropMAE: (0.2, 1); SiamMAE: (0.5, 1).
        shared: Whether both frames of a pair share one crop (SiamMAE). Otherwise each frame has its own (DropMAE), so
            that matching patches are at different positions.
        ratio: Smallest and largest width / height of the box.
        interpolation: ``'bicubic'`` (DropMAE, RSP) or ``'bilinear'`` (CropMAE's SiamMAE); always anti-aliased.
    """

    def __init__(
        self,
        size: int | tuple[int, int],
        scale: tuple[float, float],
        shared: bool,
        ratio: tuple[float, float] = (3 / 4, 4 / 3),
        interpolation: Interpolation = 'bicubic',
    ) -> None:
        self.size = _pair(size)
        if not 0 < scale[0] <= scale[1] <= 1:
            raise ValueError(f'PairRandomResizedCrop: scale must be (lo, hi) with 0 < lo <= hi <= 1, got {scale}')
        if not 0 < ratio[0] <= ratio[1]:
            raise ValueError(f'PairRandomResizedCrop: ratio must be (lo, hi) with 0 < lo <= hi, got {ratio}')
        self.scale = tuple(scale)
        self.ratio = tuple(ratio)
        self.shared = shared
        self.interpolation = InterpolationMode(interpolation)

    def transform(self, results: dict) -> dict:
        frames, rng = results['frames'], results['rng']
        height, width = frames.shape[-2:]
        groups = frames.flatten(0, 1).split(2 if self.shared else 1)
        cropped = [
            F.resized_crop(group, *self._draw_box(height, width, rng), self.size, self.interpolation, antialias=True)
            for group in groups
        ]
        results['frames'] = torch.cat(cropped).unflatten(0, (-1, 2))
        return results

    def _draw_box(self, height: int, width: int, rng: np.random.Generator) -> tuple[int, int, int, int]:
        """Draws (top, left, height, width)."""
        for _ in range(10):
            area = height * width * rng.uniform(*self.scale)
            ratio = math.exp(rng.uniform(math.log(self.ratio[0]), math.log(self.ratio[1])))
            h, w = round(math.sqrt(area / ratio)), round(math.sqrt(area * ratio))
            if 0 < h <= height and 0 < w <= width:
                return int(rng.integers(height - h + 1)), int(rng.integers(width - w + 1)), h, w
        ratio = min(max(width / height, self.ratio[0]), self.ratio[1])
        h, w = min(height, round(width / ratio)), min(width, round(height * ratio))
        return (height - h) // 2, (width - w) // 2, h, w

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
        shared: Whether both frames of a pair are flipped together (SiamMAE) or independently (DropMAE).
        prob: Probability of the flip.
    """

    def __init__(self, shared: bool, prob: float = 0.5) -> None:
        if not 0 <= prob <= 1:
            raise ValueError(f'PairRandomFlip: prob must lie between 0 and 1, got {prob}')
        self.shared = shared
        self.prob = prob

    def transform(self, results: dict) -> dict:
        frames = results['frames']
        coins = results['rng'].random((len(frames), 1 if self.shared else 2)) < self.prob
        coins = np.broadcast_to(coins, (len(frames), 2)).flat
        flipped = [frame.flip(-1) if coin else frame for frame, coin in zip(frames.flatten(0, 1), coins, strict=True)]
        results['frames'] = torch.stack(flipped).unflatten(0, (-1, 2))
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}(shared={self.shared}, prob={self.prob})'


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

    def __init__(self, size: int | tuple[int, int], interpolation: Interpolation = 'bicubic') -> None:
        self.size = _pair(size)
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

    def __init__(self, size: int | tuple[int, int]) -> None:
        self.size = _pair(size)

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


def _pair(size: int | tuple[int, int]) -> tuple[int, int]:
    """(height, width) of a size given as one number or two."""
    height, width = (size, size) if isinstance(size, int) else size
    if height < 1 or width < 1:
        raise ValueError(f'size must be positive, got {size}')
    return height, width
