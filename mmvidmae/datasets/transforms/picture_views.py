"""Views of one picture."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from mmcv.transforms import BaseTransform
from torch import Tensor
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as F

from mmvidmae.registry import TRANSFORMS

from .geometry import Interpolation, Size, check_range, draw_box, size_pair


@TRANSFORMS.register_module()
class PictureViews(BaseTransform):
    """Make T views of one picture by random crops, in place of the T frames of a clip (CropMAE, arXiv 2403.17823).

    Each view is a crop (:func:`draw_box`), resized to ``size`` and perhaps flipped. The crops of a picture are

    - ``'nested'``: the first is a crop of the picture. Each further one is a crop of the previous view, after its
      resize and before its flip. This is CropMAE's global view and the local view within it.
    - ``'independent'``: all are crops of the picture.
    - ``'same'``: one crop and one flip, T times.

    CropMAE (``alexandre-eymael/CropMAE@5d0dab2:data/util/CropMAEStrategies.py:52-132``): the source is the global view,
    the target is the local view. ``reverse=True`` is the other way round.

    **Required Keys:**

    - frames: (num_pairs, 1, 3, H, W), of :class:`SampleFrames` with ``num_frames=1``
    - rng

    **Modified Keys:**

    - frames: (num_pairs, T, 3, h, w), uint8.

    Args:
        size: Size of the views in pixels, one number for a square or (height, width).
        scale: For each view, the smallest and largest share of the area that it is cropped from. CropMAE: (0.1, 1) and
            (0.3, 0.6) on ImageNet, (0.5, 1) and (0.3, 0.6) on Kinetics-400.
        crops: ``'nested'``, ``'independent'`` or ``'same'``.
        reverse: Whether the order of the views is reversed, so that the first view is the target.
        prob: Probability of a flip.
        shared_flip: Whether all views of a picture are flipped together. Otherwise each has a coin of its own
            (CropMAE).
        ratio: Smallest and largest width / height of a crop.
        interpolation: ``'bilinear'`` (CropMAE) or ``'bicubic'``; always anti-aliased.

    Raises:
        ValueError: If a value is out of range, or a clip does not have one frame.
    """

    def __init__(
        self,
        size: Size,
        scale: Sequence[tuple[float, float]],
        crops: Literal['nested', 'independent', 'same'] = 'nested',
        reverse: bool = False,
        prob: float = 0.5,
        shared_flip: bool = False,
        ratio: tuple[float, float] = (3 / 4, 4 / 3),
        interpolation: Interpolation = 'bilinear',
    ) -> None:
        if crops not in ('nested', 'independent', 'same'):
            raise ValueError(f"PictureViews: crops must be 'nested', 'independent' or 'same', got {crops!r}")
        if not 0 <= prob <= 1:
            raise ValueError(f'PictureViews: prob must lie between 0 and 1, got {prob}')
        self.size = size_pair(size)
        self.scale = tuple(check_range(self, 'scale', values, most=1) for values in scale)
        if not self.scale or (crops == 'same' and len({*self.scale}) > 1):
            expected = 'the same range for each view' if self.scale else 'one range for each view'
            raise ValueError(f'PictureViews: scale must be {expected}, got {scale}')
        self.crops = crops
        self.reverse = reverse
        self.prob = prob
        self.shared_flip = shared_flip or crops == 'same'
        self.ratio = check_range(self, 'ratio', ratio)
        self.interpolation = InterpolationMode(interpolation)

    def transform(self, results: dict) -> dict:
        pictures, rng = results['frames'], results['rng']
        if pictures.shape[1] != 1:
            raise ValueError(
                f'PictureViews makes views of one picture, got clips of {pictures.shape[1]} frames; put '
                "dict(type='mmvidmae.SampleFrames', num_frames=1) before it"
            )
        results['frames'] = torch.stack([self.make(picture, *self.draw(picture, rng)) for (picture,) in pictures])
        return results

    def draw(
        self, picture: Tensor, rng: np.random.Generator
    ) -> tuple[list[tuple[int, int, int, int]], Sequence[float]]:
        """Draw a box (top, left, height, width) for each view of a picture, and a uniform number for its flip."""
        views = len(self.scale)
        boxes = []
        for index, scale in enumerate(self.scale[:1] if self.crops == 'same' else self.scale):
            height, width = self.size if self.crops == 'nested' and index else picture.shape[-2:]
            boxes.append(draw_box(height, width, scale, self.ratio, rng))
        coins = rng.random(1 if self.shared_flip else views)
        return boxes * (views // len(boxes)), np.broadcast_to(coins, views)

    def make(self, picture: Tensor, boxes: Sequence[tuple[int, int, int, int]], coins: Sequence[float]) -> Tensor:
        """Make the views ``(T, 3, h, w)`` of a picture ``(3, H, W)`` from what :meth:`draw` returns."""
        views, source = [], picture
        for box, coin in zip(boxes, coins, strict=True):
            top, left, height, width = (int(value) for value in box)
            cut = F.resized_crop(source, top, left, height, width, self.size, self.interpolation, antialias=True)
            views.append(cut.flip(-1) if coin < self.prob else cut)
            if self.crops == 'nested':
                source = cut
        return torch.stack(views[::-1] if self.reverse else views)

    def __repr__(self) -> str:
        return (
            f'{type(self).__name__}(size={self.size}, scale={self.scale}, crops={self.crops!r}, '
            f'reverse={self.reverse}, prob={self.prob}, shared_flip={self.shared_flip}, ratio={self.ratio}, '
            f'interpolation={self.interpolation.value!r})'
        )
