"""Sampling and loading of frame pairs."""

import logging
import os
from typing import Literal

import cv2
import numpy as np
import torch
from mmcv.transforms import BaseTransform
from mmengine.logging import print_log

from mmvidmae.registry import TRANSFORMS

from ..readers import VideoReadError, read_image


@TRANSFORMS.register_module()
class SampleFramePairs(BaseTransform):
    """Draw pairs of frames with a gap of ``lo`` to ``hi`` frames.

    The references draw start and gap in opposite orders. On a clip of n frames, this gives different distributions:

    - ``'start'`` (DropMAE, gap (1, 49)): the start is uniform over 0..n-1-lo, then the gap is uniform over lo..min(hi,
      n-1-start). All starts are equally likely. Near the end of the clip only small gaps remain.
    - ``'gap'`` (SiamMAE, gap (4, 48), section 4 and its reproductions): the gap is uniform over lo..min(hi, n-1), then
      the start is uniform over 0..n-1-gap. All gaps are equally likely.

    A clip of at most lo frames gives its first and last frame, so a one-frame clip is paired with itself.

    **Required Keys:**

    - reader
    - num_pairs
    - rng

    **Added Keys:**

    - frame_ids (np.ndarray): int64 of shape (num_pairs, 2), the earlier frame first.

    Args:
        gap: Smallest and largest gap (lo, hi) in frames, both included.
        draw_first: ``'gap'`` or ``'start'``.
        span: Begin and end of the part of the clip to draw from, as shares of its length. The end of every clip can
            thus be held out for validation. The part has at least one frame.

    Raises:
        ValueError: Unless 0 <= lo <= hi, ``draw_first`` is ``'gap'`` or ``'start'``, and 0 <= begin < end <= 1.
    """

    def __init__(
        self, gap: tuple[int, int], draw_first: Literal['gap', 'start'], span: tuple[float, float] = (0.0, 1.0)
    ) -> None:
        lo, hi = gap
        if not 0 <= lo <= hi:
            raise ValueError(f'SampleFramePairs: gap must be (lo, hi) with 0 <= lo <= hi, got {gap}')
        if draw_first not in ('gap', 'start'):
            raise ValueError(f"SampleFramePairs: draw_first must be 'gap' or 'start', got {draw_first!r}")
        if not 0 <= span[0] < span[1] <= 1:
            raise ValueError(f'SampleFramePairs: span must be (begin, end) with 0 <= begin < end <= 1, got {span}')
        self.gap = (lo, hi)
        self.draw_first = draw_first
        self.span = tuple(span)

    def transform(self, results: dict) -> dict:
        num_frames, rng = len(results['reader']), results['rng']
        begin = min(int(self.span[0] * num_frames), num_frames - 1)
        length = max(int(self.span[1] * num_frames) - begin, 1)
        pairs = [self._draw(length, rng) for _ in range(results['num_pairs'])]
        results['frame_ids'] = begin + np.array(pairs)
        return results

    def _draw(self, num_frames: int, rng: np.random.Generator) -> tuple[int, int]:
        lo, hi = self.gap
        last = num_frames - 1
        if last < lo:
            return 0, last
        if self.draw_first == 'start':
            start = rng.integers(0, last - lo, endpoint=True)
            gap = rng.integers(lo, min(hi, last - start), endpoint=True)
        else:
            gap = rng.integers(lo, min(hi, last), endpoint=True)
            start = rng.integers(0, last - gap, endpoint=True)
        return start, start + gap

    def __repr__(self) -> str:
        return f'{type(self).__name__}(gap={self.gap}, draw_first={self.draw_first!r}, span={self.span})'


@TRANSFORMS.register_module()
class LoadFramePairs(BaseTransform):
    """Read the frames of all pairs in one pass over the clip, each frame once.

    **Required Keys:**

    - reader
    - frame_ids

    **Added Keys:**

    - frames (torch.Tensor): uint8 RGB of shape (num_pairs, 2, 3, H, W), 0 to 255. The memory layout is channels last,
      which torchvision resizes two to three times as fast.
    """

    def transform(self, results: dict) -> dict:
        frames = results['reader'].get_batch(results['frame_ids'].flatten().tolist())
        results['frames'] = torch.from_numpy(frames).unflatten(0, (-1, 2)).permute(0, 1, 4, 2, 3)
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}()'


@TRANSFORMS.register_module()
class LoadPicture(BaseTransform):
    """Read images with our decoder for the transforms of OpenMMLab's toolboxes: upright, 8 bits, BGR.

    **Required Keys:**

    - img_path (str or list[str])

    **Added Keys** (lists if ``img_path`` is a list):

    - img (np.ndarray): uint8 BGR ``(H, W, 3)``.
    - img_shape, ori_shape (tuple): ``(H, W)``.

    Args:
        skip_unreadable: For training: the result is None if an image cannot be read, so that the dataset takes another
            item. A warning is logged.

    Raises:
        VideoReadError: If an image cannot be read, unless ``skip_unreadable`` is set.
    """

    def __init__(self, skip_unreadable: bool = False) -> None:
        self.skip_unreadable = skip_unreadable

    def transform(self, results: dict) -> dict | None:
        """Read the images."""
        paths = results['img_path']
        try:
            images = [self._read(path) for path in ([paths] if isinstance(paths, str) else paths)]
        except VideoReadError as failure:
            if not self.skip_unreadable:
                raise
            print_log(f'Replaced by another item: {failure}', 'current', logging.WARNING)
            return None
        shapes = [image.shape[:2] for image in images]
        loaded = dict(img=images, img_shape=shapes, ori_shape=shapes)
        return {**results, **({key: value[0] for key, value in loaded.items()} if isinstance(paths, str) else loaded)}

    def _read(self, path: str) -> np.ndarray:
        return cv2.cvtColor(read_image(*os.path.split(path)), cv2.COLOR_RGB2BGR)

    def __repr__(self) -> str:
        return f'{type(self).__name__}(skip_unreadable={self.skip_unreadable})'
