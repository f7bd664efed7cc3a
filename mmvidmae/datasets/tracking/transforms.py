"""Transforms for the training pairs of OSTrack and DropTrack."""

import random
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from mmcv.transforms import BaseTransform

from mmvidmae.registry import TRANSFORMS
from mmvidmae.structures.boxes import box_to_crop, crop_padding, sample_crop


def _visible_frames(video: dict[str, Any]) -> np.ndarray:
    return np.flatnonzero(np.asarray(video['visible'], bool) & np.asarray(video['bboxes_isvalid'], bool))


def _frames_of(video: dict[str, Any], frames: Sequence[int]) -> dict[str, list]:
    """What a training sample needs to know of some frames of a video."""
    return dict(
        img_path=[video['img_paths'][frame] for frame in frames],
        frame_id=[int(video['frame_ids'][frame]) for frame in frames],
        video_id=[video['video_id']] * len(frames),
        video_length=[len(video['img_paths'])] * len(frames),
        instances=[[dict(bbox=video['bboxes'][frame], bbox_label=np.int32(0))] for frame in frames],
    )


@TRANSFORMS.register_module()
class CausalPairSampling(BaseTransform):
    """Draw one or more template frames and a later search frame of a video, all with a visible target (OSTrack's causal
    sampler).

    A template is drawn from all frames, the search frame from the frames less than ``max_gap`` after it. Further
    templates are drawn from the ``max_gap`` frames before it, each on its own; all templates are in the order of the
    video. The gap grows by 5 after each trial without a search frame or without a further template. A still image (a
    video of one frame) is repeated.

    The input is a list of video infos from mmtrack's training datasets, of which the first is used. The result holds,
    for the templates and the search frame, lists of ``img_path``, ``frame_id``, ``video_id``, ``video_length`` and
    ``instances``. It is None for a video that is too short; the dataset then takes another one.

    Args:
        max_gap: The search frame is less than this many frames after the template.
        min_visible: Smallest number of frames with a visible target.
        min_length: Smallest number of frames of a video.
        num_templates: Number of templates. Each one beyond the first raises ``min_visible`` by 2.

    Source: ``TrackingSampler`` of ``botaoye/OSTrack@33b5e12:lib/train/data/sampler.py``.
    """

    def __init__(self, max_gap: int = 200, min_visible: int = 5, min_length: int = 20, num_templates: int = 1) -> None:
        self.max_gap = max_gap
        self.min_visible = max(min_visible, 2) + 2 * (num_templates - 1)
        self.min_length = min_length
        self.num_templates = num_templates

    def transform(self, results: list[dict[str, Any]]) -> dict[str, list] | None:
        """Draw the frames."""
        video = results[0]
        visible, length = _visible_frames(video), len(video['img_paths'])
        if length == 1 and len(visible):
            frames = [0] * (self.num_templates + 1)
        elif len(visible) < self.min_visible or length < self.min_length:
            return None
        else:
            frames = self._draw(visible)
        return _frames_of(video, frames)

    def _draw(self, visible: np.ndarray) -> list[int]:
        gap, further = self.max_gap, self.num_templates - 1
        while True:
            template = random.choice(visible.tolist())
            after = visible[(visible > template) & (visible < template + gap)]
            before = visible[(visible < template) & (visible >= template - gap)]
            if len(after) and (len(before) or not further):
                earlier = sorted(random.choices(before.tolist(), k=further)) if further else []
                return [*earlier, template, random.choice(after.tolist())]
            gap += 5


@TRANSFORMS.register_module()
class ClipSampling(BaseTransform):
    """Draw a template frame and several search frames of a video, all with a visible target (HIPTrack's sampler).

    The first frame is drawn from all frames but the last ``max_jump``, each next one from the frames less than
    ``max_jump`` after it. Where a video is too short, ``max_jump`` shrinks by 5. Half of the clips are reversed, so
    that the template is the last frame. A still image (a video of one frame) is repeated.

    Input and output are those of :class:`CausalPairSampling`, for ``num_templates`` + ``num_search`` frames.

    Args:
        num_search: Number of search frames.
        max_jump: The next frame is less than this many frames after the one before.
        min_length: Smallest number of frames of a video. The target must be visible in more than twice as many frames
            as a clip has.
        num_templates: Number of templates, the first frames of the clip.

    Source: ``TrackingSampler`` of ``WenRuiCai/HIPTrack@371b753:lib/train/data/sampler.py:128-191``. As published, the
    jump shrinks only after a failure at one of the first three frames.
    """

    def __init__(self, num_search: int = 5, max_jump: int = 70, min_length: int = 20, num_templates: int = 1) -> None:
        self.num_frames = num_templates + num_search
        self.max_jump = max_jump
        self.min_length = min_length

    def transform(self, results: list[dict[str, Any]]) -> dict[str, list] | None:
        """Draw the frames."""
        video = results[0]
        visible, length = _visible_frames(video), len(video['img_paths'])
        if length == 1 and len(visible):
            return _frames_of(video, [0] * self.num_frames)
        if len(visible) <= 2 * self.num_frames or length < self.min_length:
            return None
        return _frames_of(video, self.sample(visible, length))

    def sample(self, visible: np.ndarray, length: int) -> list[int]:
        """Draw frame numbers, those of the templates first.

        Args:
            visible: Numbers of the frames with a visible target, sorted.
            length: Number of frames of the video.
        """
        jump = self.max_jump
        while True:
            reach = min(length, jump)
            clip: list[int] = []
            for number in range(self.num_frames):
                first = clip[-1] + 1 if clip else 0
                last = min(clip[-1] + reach, length - self.num_frames + 1 + number) if clip else length - reach
                choices = visible[(visible >= first) & (visible < last)]
                if not len(choices):
                    break
                clip.append(random.choice(choices.tolist()))
            if len(clip) == self.num_frames:
                return clip[::-1] if random.random() < 0.5 else clip
            if len(clip) < 3:
                jump -= 5 if jump > 5 else 1
            elif len(clip) == self.num_frames - 1:  # as published, a clip without a last frame is drawn anew
                jump = self.max_jump


@TRANSFORMS.register_module()
class OSTrackCrop(BaseTransform):
    """Crop a template and search regions around jittered boxes. Then change brightness and flip, each on its own.

    Width w and height h of a box become w exp(a N) and h exp(a N), where a is ``scale_jitter`` and each N is a standard
    normal draw. The box is then shifted along each axis by up to ``center_jitter`` / 2 times the square root of its
    area. The transform replaces ``img``, ``gt_bboxes`` (x1, y1, x2, y2) and ``img_shape`` of the templates and
    the search frames after them. The result is None if a box is empty or a crop is all padding.

    Args:
        factors: Sides of the crops (template, search), in units of the square root of the box's area.
        sizes: Output sides (template, search) in pixels.
        center_jitter: Strength of the shift (template, search), see above.
        scale_jitter: Strength of the scale change (template, search), see above.
        brightness: Brightness factors are drawn from [1 - brightness, 1 + brightness].
        flip_prob: Probability of a horizontal flip.
        num_templates: Number of templates, which come first.

    Source: ``STARKProcessing`` of ``botaoye/OSTrack@33b5e12:lib/train/data/processing.py``.
    """

    def __init__(
        self,
        factors: tuple[float, float] = (2.0, 5.0),
        sizes: tuple[int, int] = (192, 384),
        center_jitter: tuple[float, float] = (0.0, 4.5),
        scale_jitter: tuple[float, float] = (0.0, 0.5),
        brightness: float = 0.2,
        flip_prob: float = 0.5,
        num_templates: int = 1,
    ) -> None:
        self.num_templates = num_templates
        self.crops = list(zip(factors, sizes, center_jitter, scale_jitter, strict=True))
        self.brightness = brightness
        self.flip_prob = flip_prob

    def transform(self, results: dict[str, list]) -> dict[str, list] | None:
        """Crop the frames."""
        images, boxes = [], []
        num_search = len(results['img']) - self.num_templates
        crops = [self.crops[0]] * self.num_templates + [self.crops[1]] * num_search
        for image, corners, options in zip(results['img'], results['gt_bboxes'], crops, strict=True):
            cropped = self._crop(image, np.asarray(corners, np.float64).reshape(4), *options)
            if cropped is None:
                return None
            images.append(cropped[0])
            boxes.append(cropped[1])
        return {**results, 'img': images, 'gt_bboxes': boxes, 'img_shape': [image.shape[:2] for image in images]}

    def _crop(
        self,
        image: np.ndarray,
        corners: np.ndarray,
        factor: float,
        size: int,
        center_jitter: float,
        scale_jitter: float,
    ) -> tuple[np.ndarray, np.ndarray] | None:
        box = np.concatenate((corners[:2], corners[2:] - corners[:2]))
        if not np.isfinite(box).all() or (box[2:] <= 0).any():
            return None
        extent = box[2:] * np.exp([random.gauss(0, scale_jitter) for _ in range(2)])
        shift = np.sqrt(extent.prod()) * center_jitter * np.array([random.random() - 0.5 for _ in range(2)])
        around = np.concatenate((box[:2] + box[2:] / 2 + shift - extent / 2, extent))
        if crop_padding(image.shape[:2], around, factor, size).all():
            return None
        crop, resize_factor = sample_crop(image, around, factor, size)
        x, y, width, height = box_to_crop(box, around, resize_factor, size)
        if self.brightness:
            crop = cv2.convertScaleAbs(crop, alpha=random.uniform(1 - self.brightness, 1 + self.brightness))
        if random.random() < self.flip_prob:
            crop, x = crop[:, ::-1], size - x - width
        return np.ascontiguousarray(crop), np.array([[x, y, x + width, y + height]], np.float32)
