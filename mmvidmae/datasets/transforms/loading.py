"""Sampling and loading of the frames of clips."""

import logging
import os
from collections.abc import Sequence
from functools import lru_cache
from typing import Literal

import cv2
import numpy as np
import torch
from mmcv.transforms import BaseTransform
from mmengine.logging import print_log

from mmvidmae.registry import TRANSFORMS

from ..readers import VideoReadError, read_image
from ..sources import image_names


@TRANSFORMS.register_module()
@TRANSFORMS.register_module(name='SampleFramePairs')
class SampleFrames(BaseTransform):
    """Draw the frames of clips: T frames of a video with random gaps. A frame pair is T = 2.

    **What is drawn first** (``draw_first``). The orders give different distributions. n is the number of frames of the
    video, gaps are between ``lo`` and ``hi``. For a pair:

    - ``'start'`` (DropMAE, gap (1, 49)): the start is uniform over 0..n-1-lo, then the gap is uniform over lo..min(hi,
      n-1-start). All starts are equally likely. Near the end of the video only small gaps remain.
    - ``'gap'`` (SiamMAE, gap (4, 48), section 4 and its reproductions): the gap is uniform over lo..min(hi, n-1), then
      the start is uniform over 0..n-1-gap. All gaps are equally likely.
    - ``'room'`` (RSP, CatMAE, gap (4, 48); ToBo, gap (1, 96)): the start is uniform over 0..n-1-hi, then the gap is
      uniform over lo..hi, independent of the start. The last ``hi`` frames are never the start.
    - ``'middle'`` (T-CoRe, gap (0.15, 0.25), middle (0.3, 0.7)): three frames. The middle one is uniform over a part of
      the video, then its distances to the earlier and to the later frame are drawn.

    **More frames** (``spacing``):

    - ``'source'``: K sources in a row, then M = T - K targets. The gap of each target is counted from the last source.
      The gaps are different; the targets are in order (SiamMAE with several future frames; RVM).
    - ``'own'``: each frame has its own gap to the next one (CatMAE).
    - ``'equal'``: all frames have the same gap to the next one (ToBo).

    **Short videos** (``short``). With ``'room'``, a video is short if the largest gaps do not fit, otherwise if the
    smallest gaps do not fit or are shares of less than one frame.

    - ``'ends'``: frames spread evenly from the first to the last. A one-frame video is paired with itself.
    - ``'gap'``: as ``draw_first='gap'`` (ToBo).
    - ``'different'``: T different frames in order, uniform (RSP, CatMAE).
    - ``'independent'``: each frame uniform over the video (Co-Settle).
    - ``'same'``: one frame T times (T-CoRe).

    A video that is too short for ``'gap'`` or ``'different'`` follows ``'ends'``.

    **One frame** (``num_frames=1``) is uniform over the video, for views of a picture (:class:`PictureViews`). It needs
    neither ``gap`` nor ``draw_first``.

    Sources: DropMAE ``util/kinetics.py``; RSP ``huiwon-jang/RSP@5ea2b91:util/kinetics.py:94``; CatMAE
    ``minhoooo1/CatMAE@0fb1f60:kinetics_dataset.py:66``; ToBo ``naver-ai/tobo@fa41194:util/kinetics_mfmae.py:238``;
    T-CoRe ``yafeng19/T-CORE@0ffcabe:base_model/data/datasets/kinetics.py:183``; Co-Settle
    ``yafeng19/Co-Settle@3a01eb0:util/video/video_utils.py:66``.

    **Required Keys:**

    - reader
    - num_pairs
    - rng
    - epoch (with ``gap_schedule``)
    - sample_idx (with ``reverse='alternate'``)

    **Added Keys:**

    - frame_ids (np.ndarray): int64 of shape (num_pairs, T), in the order of time unless reversed.

    Args:
        gap: Smallest and largest gap (lo, hi), both included: whole numbers of frames, or shares of the video's length
            as floats, rounded down (Co-Settle: (0.15, 0.15)).
        draw_first: ``'gap'``, ``'start'``, ``'room'`` or ``'middle'``.
        span: Begin and end of the part of the video to draw from, as shares of its length. The end of every video can
            thus be held out for validation. The part has at least one frame.
        num_frames: Number T of frames.
        num_sources: Number K of sources with ``spacing='source'``.
        spacing: ``'source'``, ``'own'`` or ``'equal'``; the same for a pair.
        short: ``'ends'``, ``'gap'``, ``'different'``, ``'independent'`` or ``'same'``.
        first: Smallest start with ``draw_first='gap'``. Co-Settle's is 1, because its code also reads the frame before.
        middle: Part of the video for the middle frame, as shares of its length, with ``draw_first='middle'``.
        reverse: Probability that the order of the frames is reversed. ``'alternate'`` reverses every second clip, as
            CatMAE's code does: with ``repeated_sampling=2``, the second clip of each video.
        gap_schedule: Points (epoch, largest gap) that replace ``hi``, with linear interpolation, rounded down.

    Raises:
        ValueError: If a value is out of range, or options do not fit together.
    """

    def __init__(
        self,
        gap: tuple[int, int] | tuple[float, float] | None = None,
        draw_first: Literal['gap', 'start', 'room', 'middle'] | None = None,
        span: tuple[float, float] = (0.0, 1.0),
        num_frames: int = 2,
        num_sources: int = 1,
        spacing: Literal['source', 'own', 'equal'] = 'source',
        short: Literal['ends', 'gap', 'different', 'independent', 'same'] = 'ends',
        first: int = 0,
        middle: tuple[float, float] | None = None,
        reverse: float | Literal['alternate'] = 0.0,
        gap_schedule: Sequence[tuple[float, int]] = (),
    ) -> None:
        if num_frames == 1 and (gap, draw_first) == (None, None):
            gap, draw_first = (0, 0), 'start'
        self._require(gap is not None, 'gap', gap, '(lo, hi) for two frames or more, and left out for one')
        lo, hi = gap
        in_shares = isinstance(lo, float) or isinstance(hi, float)
        orders, spacings = ('gap', 'start', 'room', 'middle'), ('source', 'own', 'equal')
        shorts = ('ends', 'gap', 'different', 'independent', 'same')
        self._require(0 <= lo <= hi, 'gap', gap, '(lo, hi) with 0 <= lo <= hi')
        self._require(not in_shares or hi <= 1, 'gap', gap, 'shares of at most 1, or whole numbers')
        several = spacing == 'source' and num_frames - num_sources > 1 and draw_first != 'middle'
        self._require(not (several and in_shares), 'gap', gap, 'whole numbers for several targets')
        self._require(draw_first in orders, 'draw_first', draw_first, f'one of {orders}')
        self._require(0 <= span[0] < span[1] <= 1, 'span', span, '(begin, end) with 0 <= begin < end <= 1')
        self._require(num_frames > 0, 'num_frames', num_frames, '1 or more')
        self._require(num_frames > 1 or (lo, hi) == (0, 0), 'gap', gap, 'left out for one frame')
        most = max(num_frames - 1, 1)
        self._require(0 < num_sources <= most, 'num_sources', num_sources, 'at least 1 and less than num_frames')
        self._require(spacing in spacings, 'spacing', spacing, f'one of {spacings}')
        self._require(num_sources == 1 or spacing == 'source', 'spacing', spacing, "'source' with several sources")
        self._require(short in shorts, 'short', short, f'one of {shorts}')
        self._require(first == 0 or (first > 0 and draw_first == 'gap'), 'first', first, "0, or more with 'gap'")
        around = draw_first == 'middle'
        self._require((middle is not None) == around, 'middle', middle, "given with draw_first='middle' only")
        self._require(not around or num_frames == 3, 'num_frames', num_frames, "3 with draw_first='middle'")
        self._require(not around or in_shares, 'gap', gap, "two shares (floats) with draw_first='middle'")
        inside = not around or hi <= middle[0] < middle[1] <= 1 - hi
        self._require(inside, 'middle', middle, f'(begin, end) with a distance of {hi} to both ends of the video')
        self._require(reverse == 'alternate' or 0 <= reverse <= 1, 'reverse', reverse, "in [0, 1] or 'alternate'")
        epochs = [epoch for epoch, _ in gap_schedule]
        least = lo + num_frames - num_sources - 1 if several else lo
        self._require(in_shares or hi >= least, 'gap', gap, f'up to {least} or more, for different gaps of the targets')
        rising = epochs == sorted({*epochs}) and all(largest >= least for _, largest in gap_schedule)
        self._require(rising, 'gap_schedule', gap_schedule, f'(epoch, largest gap) of rising epochs, gaps >= {least}')
        self._require(not (in_shares and gap_schedule), 'gap_schedule', gap_schedule, 'empty for gaps in shares')
        self.gap = (lo, hi)
        self.in_shares = in_shares
        self.draw_first = draw_first
        self.span = tuple(span)
        self.num_frames = num_frames
        self.num_sources = num_sources
        self.spacing = spacing
        self.short = short
        self.first = first
        self.middle = middle
        self.reverse = reverse
        self.gap_schedule = tuple(map(tuple, gap_schedule))

    def transform(self, results: dict) -> dict:
        total, rng, num_pairs = len(results['reader']), results['rng'], results['num_pairs']
        begin = min(int(self.span[0] * total), total - 1)
        length = max(int(self.span[1] * total) - begin, 1)
        bounds = self._bounds(length, results.get('epoch'))
        drawn = [self._draw(length, bounds, rng) for _ in range(num_pairs)]
        frame_ids = begin + np.array(drawn, dtype=np.int64).reshape(num_pairs, self.num_frames)
        if self.reverse == 'alternate':
            flipped = (results['sample_idx'] * num_pairs + np.arange(num_pairs)) % 2 == 1
        else:
            flipped = rng.random(num_pairs) < self.reverse if self.reverse else np.zeros(num_pairs, bool)
        results['frame_ids'] = np.where(flipped[:, None], frame_ids[:, ::-1], frame_ids)
        return results

    def _bounds(self, num_frames: int, epoch: int | None) -> tuple[int, int]:
        """Smallest and largest gap in frames."""
        lo, hi = self.gap
        if self.gap_schedule:
            if epoch is None:
                raise KeyError(f'{type(self).__name__}: gap_schedule needs the epoch, which our datasets give')
            return lo, int(np.interp(epoch, *zip(*self.gap_schedule, strict=True)))
        return (int(lo * num_frames), int(hi * num_frames)) if self.in_shares else (lo, hi)

    def _draw(self, num_frames: int, bounds: tuple[int, int], rng: np.random.Generator) -> Sequence[int]:
        """Frames of one clip."""
        last, (lo, _) = num_frames - 1, bounds
        if self.num_frames == 1:
            return [rng.integers(0, last, endpoint=True)]
        if self.draw_first == 'middle':
            return self._draw_around(num_frames, bounds, rng)
        least, most = self._extents(bounds)
        needed = most if self.draw_first == 'room' else least
        if last - self.first < needed or (self.in_shares and lo < 1):
            return self._draw_short(num_frames, bounds, rng)
        if self.draw_first != 'gap':
            start = rng.integers(0, last - needed, endpoint=True)
            return start + self._offsets(bounds, last - start, rng)
        offsets = self._offsets(bounds, last - self.first, rng)
        return rng.integers(self.first, last - offsets[-1], endpoint=True) + offsets

    def _draw_around(self, num_frames: int, bounds: tuple[int, int], rng: np.random.Generator) -> Sequence[int]:
        """The middle frame, then the earlier and the later one."""
        begin, end = (int(share * num_frames) for share in self.middle)
        if begin == end:
            return self._draw_short(num_frames, bounds, rng)
        middle, (lo, hi) = rng.integers(begin, end - 1, endpoint=True), bounds
        if lo == hi:
            return self._draw_short(num_frames, bounds, rng)
        earlier = rng.integers(middle - hi, middle - lo, endpoint=True)
        return earlier, middle, rng.integers(middle + lo, min(middle + hi, num_frames - 1), endpoint=True)

    def _draw_short(self, num_frames: int, bounds: tuple[int, int], rng: np.random.Generator) -> Sequence[int]:
        """Frames of a clip of a short video."""
        last = num_frames - 1
        if self.short == 'gap' and last >= self._extents(bounds)[0]:
            offsets = self._offsets(bounds, last, rng)
            return rng.integers(0, last - offsets[-1], endpoint=True) + offsets
        if self.short == 'different' and num_frames >= self.num_frames:
            return np.sort(rng.choice(num_frames, self.num_frames, replace=False))
        if self.short == 'independent':
            return [rng.integers(0, last, endpoint=True) for _ in range(self.num_frames)]
        if self.short == 'same':
            return [rng.integers(0, last, endpoint=True)] * self.num_frames
        return np.linspace(0, last, self.num_frames).round().astype(int)

    def _extents(self, bounds: tuple[int, int]) -> tuple[int, int]:
        """Smallest and largest distance of the last frame from the first one."""
        lo, hi = bounds
        if self.spacing == 'source':
            return lo + self.num_frames - 2, hi + self.num_sources - 1
        return lo * (self.num_frames - 1), hi * (self.num_frames - 1)

    def _offsets(self, bounds: tuple[int, int], room: int, rng: np.random.Generator) -> np.ndarray:
        """Draw the distances of all frames from the first one, at most ``room``."""
        lo, hi = bounds
        if self.spacing == 'equal':
            gaps = self.num_frames - 1
            return rng.integers(lo, min(hi, room // gaps), endpoint=True) * np.arange(gaps + 1)
        if self.spacing == 'own':
            offsets = [0]
            for later in reversed(range(self.num_frames - 1)):  # gaps still to draw after this one
                offsets.append(offsets[-1] + rng.integers(lo, min(hi, room - offsets[-1] - later * lo), endpoint=True))
            return np.array(offsets)
        drawn: list[int] = []
        largest = min(hi, room - self.num_sources + 1)
        for count in range(self.num_frames - self.num_sources):  # different gaps, all sets equally likely
            gap = rng.integers(lo, largest - count, endpoint=True)
            for other in drawn:
                gap += gap >= other
            drawn = sorted([*drawn, gap])
        return np.concatenate((np.arange(self.num_sources), self.num_sources - 1 + np.array(drawn)))

    def _require(self, condition: bool, name: str, value: object, expected: str) -> None:
        if not condition:
            raise ValueError(f'SampleFrames: {name} must be {expected}, got {value!r}')

    def __repr__(self) -> str:
        return (
            f'{type(self).__name__}(gap={self.gap}, draw_first={self.draw_first!r}, span={self.span}, '
            f'num_frames={self.num_frames}, num_sources={self.num_sources}, spacing={self.spacing!r}, '
            f'short={self.short!r}, first={self.first}, middle={self.middle}, reverse={self.reverse!r}, '
            f'gap_schedule={self.gap_schedule})'
        )


SampleFramePairs = SampleFrames


@TRANSFORMS.register_module()
class LoadFramePairs(BaseTransform):
    """Read the frames of all clips in one pass over the video, each frame once.

    **Required Keys:**

    - reader
    - frame_ids

    **Added Keys:**

    - frames (torch.Tensor): uint8 RGB of shape (num_pairs, T, 3, H, W), 0 to 255. The memory layout is channels last,
      which torchvision resizes two to three times as fast.
    """

    def transform(self, results: dict) -> dict:
        frame_ids = results['frame_ids']
        frames = results['reader'].get_batch(frame_ids.flatten().tolist())
        results['frames'] = torch.from_numpy(frames).unflatten(0, frame_ids.shape).permute(0, 1, 4, 2, 3)
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


@TRANSFORMS.register_module()
class LoadPicturePair(LoadPicture):
    """Read aligned pictures of two modalities as one picture of six channels, such as those of LasHeR and RGBT234.

    Keys are those of :class:`LoadPicture` and ``frame_id``. ``img`` is uint8 ``(H, W, 6)``, BGR of the first modality
    and then of the second. The second picture is that of the same number in a sibling folder, by natural order, as
    names differ between modalities.

    Args:
        second: Name of the sibling folder with the second modality.
        skip_unreadable: As in :class:`LoadPicture`.

    Raises:
        VideoReadError: If a picture is missing or cannot be read, or the two have different sizes, unless
            ``skip_unreadable`` is set. The message names the files.
    """

    def __init__(self, second: str = 'infrared', skip_unreadable: bool = False) -> None:
        super().__init__(skip_unreadable)
        self.second = second

    def transform(self, results: dict) -> dict | None:
        """Read the pairs."""
        paths, numbers = results['img_path'], results['frame_id']
        pairs = [(paths, numbers)] if isinstance(paths, str) else list(zip(paths, numbers, strict=True))
        found = super().transform({**results, 'img_path': pairs})
        if found is None:
            return None
        if isinstance(paths, str):
            found.update({key: found[key][0] for key in ('img', 'img_shape', 'ori_shape')})
        return {**found, 'img_path': paths}

    def _read(self, pair: tuple[str, int]) -> np.ndarray:
        path, number = pair
        folder = os.path.join(os.path.dirname(os.path.dirname(path)), self.second)
        try:
            names = _names_in(folder)
        except OSError as error:
            raise VideoReadError(folder, f'{error.strerror}, but the second pictures should be there') from error
        if number >= len(names):
            raise VideoReadError(folder, f'it has {len(names)} pictures, and none of number {number} for {path}')
        first, second = super()._read(path), super()._read(other := os.path.join(folder, names[number]))
        if first.shape != second.shape:
            sizes = ' and '.join(f'{image.shape[1]} x {image.shape[0]}' for image in (first, second))
            raise VideoReadError(path, f'it and {other} have different sizes: {sizes} pixels')
        return np.concatenate((first, second), axis=2)


@lru_cache(64)
def _names_in(folder: str) -> list[str]:
    return image_names(folder)
