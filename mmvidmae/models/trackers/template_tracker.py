"""Tracking by a template of the target and a search region around its last box."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from mmvidmae.registry import MODELS
from mmvidmae.structures.boxes import Box, box_to_frame, check_box, clip_box, sample_crop

from ..layers import require
from .single_object_tracker import SingleObjectTracker


class TrackState(NamedTuple):
    """State of a tracked target.

    Attributes:
        template: Normalized template ``(1, 3, H, W)``; with an online template, the first and the latest one
            ``(1, 2, 3, H, W)``.
        box: Last box (x, y, w, h) in pixels of the frame.
        number: Number of frames tracked.
    """

    template: Tensor
    box: list[float]
    number: int = 0


class TemplateTracker(SingleObjectTracker):
    """Crops of a tracker, and what becomes of the boxes that are found in them. Subclasses locate targets in crops.

    Args:
        template_size: Side of the template in pixels.
        search_size: Side of the search region in pixels.
        template_factor: Side of the template in units of the square root of the target's area.
        search_factor: Side of the search region in the same units.
        test_cfg: Options for testing of :class:`SingleObjectTracker`, and ``online_template``, the config of a policy
            such as :class:`IntervalScorePolicy`. With it, a second template, at first a copy of the first one, is
            replaced by a crop around the found box whenever the policy says so. By default there is one template.
        data_preprocessor: Config of a :class:`CropPreprocessor`.
        init_cfg: Initialization config of MMEngine.

    Raises:
        ValueError: If a value is out of range.
    """

    test_defaults = SingleObjectTracker.test_defaults | dict(online_template=None)

    def __init__(
        self,
        template_size: int,
        search_size: int,
        template_factor: float,
        search_factor: float,
        test_cfg: dict | None = None,
        data_preprocessor: dict | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(test_cfg, data_preprocessor, init_cfg)
        policy = self.test_cfg.get('online_template')
        self.renews_template = None if policy is None else MODELS.build(policy)
        for name, factor in (('template_factor', template_factor), ('search_factor', search_factor)):
            require(factor > 0, self, name, factor, 'a positive number')
        for name, size in (('template_size', template_size), ('search_size', search_size)):
            require(isinstance(size, int) and size > 0, self, name, size, 'one positive number of pixels')
        self.template_crop = dict(factor=template_factor, out_size=template_size)
        self.search_crop = dict(factor=search_factor, out_size=search_size)

    @torch.no_grad()
    def initialize(self, frame: np.ndarray, box: Box) -> TrackState:
        """Initialize the tracker with a target.

        Args:
            frame: uint8 frame ``(H, W, 3)`` in the channel order that the data preprocessor expects.
            box: Box (x, y, w, h) of the target in pixels.

        Raises:
            ValueError: If the box is not four finite numbers, has no area, or does not overlap the frame.
        """
        box = check_box(box, frame.shape[:2])
        template, resize_factor = self._crop(frame, box, **self.template_crop)
        target = self._new_state(template, resize_factor, box)
        return target if self.renews_template is None else target._replace(template=torch.stack([template] * 2, dim=1))

    @torch.no_grad()
    def track(self, frame: np.ndarray, target: TrackState) -> tuple[TrackState, float]:
        """Track a target in the next frame ``(H, W, 3)``.

        The box is taken at the maximum of the score, weighted with a Hann window. At least ``margin`` pixels of the box
        stay inside the frame. After a target has left the frame, the tracker searches at the border where it left.

        Returns:
            The target with its new box, and the window-weighted score in [0, 1].
        """
        (tracked,) = self.track_all(frame, [target])
        return tracked

    @torch.no_grad()
    def track_all(self, frame: np.ndarray, targets: Sequence[TrackState]) -> list[tuple[TrackState, float]]:
        """Track several targets in the next frame, each as :meth:`track` does. They are one batch of the encoder."""
        crops = [self._crop(frame, target.box, **self.search_crop) for target in targets]
        if not crops:
            return []
        targets = [target._replace(number=target.number + 1) for target in targets]
        boxes, scores, located = self._locate(torch.cat([search for search, _ in crops]), targets)
        tracked = []
        for (*box, score), (_, resize_factor), target in zip(
            torch.cat((boxes, scores[:, None]), dim=1).tolist(), crops, located, strict=True
        ):
            box = box_to_frame(box, target.box, resize_factor, self.search_crop['out_size'])
            box = clip_box(box, frame.shape[:2], self.test_cfg['margin'])
            target = target._replace(box=box)
            if self.renews_template is not None and self.renews_template(target.number, score):
                latest, _ = self._crop(frame, box, **self.template_crop)
                target = target._replace(template=torch.stack((target.template[:, 0], latest), dim=1))
            tracked.append((target, score))
        return tracked

    def _crop(self, frame: np.ndarray, box: Box, factor: float, out_size: int) -> tuple[Tensor, float]:
        crop, resize_factor = sample_crop(frame, box, factor, out_size)
        return self.data_preprocessor.normalize(torch.from_numpy(crop).permute(2, 0, 1)[None]), resize_factor

    def _new_state(self, template: Tensor, resize_factor: float, box: list[float]) -> TrackState:
        """State of a new target from its normalized template, which was resized by a factor."""
        return TrackState(template, box)

    @abstractmethod
    def locate(self, template: Tensor, search: Tensor) -> tuple[Tensor, Tensor]:
        """Locate targets in one pass, as in tracking.

        Args:
            template: Normalized templates ``(N, 3, H, W)``, or several of each target ``(N, T, 3, H, W)``.
            search: Normalized search regions ``(N, 3, H, W)``.

        Returns:
            Boxes ``(N, 4)`` (cx, cy, w, h) in units of the search region, and scores ``(N,)`` weighted with the Hann
            window.
        """

    def _locate(self, search: Tensor, targets: Sequence[TrackState]) -> tuple[Tensor, Tensor, Sequence[TrackState]]:
        """Locate N targets in their normalized search regions ``(N, 3, H, W)``.

        Returns:
            Boxes and scores of :meth:`locate`, and the targets with what they remember of the frame.
        """
        return *self.locate(torch.cat([target.template for target in targets]), search), targets
