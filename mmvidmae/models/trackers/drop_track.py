"""DropTrack and OSTrack."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from mmengine.structures import BaseDataElement
from torch import Tensor

from mmvidmae.registry import MODELS
from mmvidmae.structures.boxes import Box, box_to_frame, check_box, clip_box, hann_window

from ..layers import require
from .candidate_elimination import template_cells
from .center_head import CenterMaps
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


def boxes_in_crops(boxes: Sequence[Tensor], crops: Tensor) -> Tensor:
    """Boxes (x, y, w, h) ``(N, 4)`` in units of their crops.

    Args:
        boxes: Boxes (x1, y1, x2, y2) ``(n, 4)`` of each sample, in pixels.
        crops: Crops ``(N, 3, H, W)``.
    """
    height, width = crops.shape[-2:]
    corners = torch.cat(tuple(boxes)).to(crops)
    xywh = torch.cat((corners[:, :2], corners[:, 2:] - corners[:, :2]), dim=1)
    return xywh / xywh.new_tensor((width, height, width, height))


@MODELS.register_module()
class DropTrack(SingleObjectTracker):
    """One-stream tracker: one encoder for template and search region, and a head for the box (DropMAE,
    arXiv:2304.00571, section 4). Without frame identities it is OSTrack (arXiv:2203.11991).

    Args:
        backbone: Config of an :class:`OneStreamViT`; ``template_size`` and ``search_size`` are filled in.
        head: Config of a :class:`CenterHead`.
        template_size: Side of the template in pixels.
        search_size: Side of the search region in pixels.
        template_factor: Side of the template in units of the square root of the target's area.
        search_factor: Side of the search region in the same units.
        ce_template_range: Template cells that score the search tokens; see :func:`template_cells`.
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
        backbone: dict,
        head: dict,
        template_size: int = 192,
        search_size: int = 384,
        template_factor: float = 2.0,
        search_factor: float = 5.0,
        ce_template_range: str = 'CTR_POINT',
        test_cfg: dict | None = None,
        data_preprocessor: dict | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(test_cfg, data_preprocessor, init_cfg)
        policy = self.test_cfg['online_template']
        self.renews_template = None if policy is None else MODELS.build(policy)
        for name, factor in (('template_factor', template_factor), ('search_factor', search_factor)):
            require(factor > 0, self, name, factor, 'a positive number')
        for name, size in (('template_size', template_size), ('search_size', search_size)):
            require(isinstance(size, int) and size > 0, self, name, size, 'one positive number of pixels')
        sizes = dict(template_size=template_size, search_size=search_size)
        self.backbone = MODELS.build({**sizes, **backbone})
        self.head = MODELS.build({'in_channels': self.backbone.embed_dims, **head})
        self.template_crop = dict(factor=template_factor, out_size=template_size)
        self.search_crop = dict(factor=search_factor, out_size=search_size)
        self.keep_ratio = 1.0
        """Share of the search tokens kept in training. :class:`CandidateEliminationHook` sets it each epoch."""
        self.register_buffer(
            'ce_template_cells', template_cells(ce_template_range, self.backbone.grids[0]), persistent=False
        )
        self.register_buffer('window', hann_window(*self.backbone.grids[1]), persistent=False)

    def forward(
        self, inputs: dict[str, Tensor], data_samples: list[BaseDataElement] | None = None, mode: str = 'tensor'
    ) -> CenterMaps | dict[str, Tensor] | list[BaseDataElement]:
        """Entry point of MMEngine.

        Args:
            inputs: Normalized crops ``(N, 3, H, W)``: ``img`` for the templates, ``search_img`` for the search regions.
                For ``'predict'``, a whole frame, see :meth:`predict`.
            data_samples: See :meth:`loss` and :meth:`predict`.
            mode: ``'tensor'`` returns the maps of the head, ``'loss'`` losses, ``'predict'`` data samples.
        """
        if mode == 'loss':
            return self.loss(inputs, data_samples)
        if mode == 'predict':
            return self.predict(inputs, data_samples)
        return self.predict_maps(inputs['img'], inputs['search_img'])

    def predict_maps(self, template: Tensor, search: Tensor, keep_ratio: float | None = None) -> CenterMaps:
        """Predict maps from normalized search regions ``(N, 3, H, W)`` and one template each ``(N, 3, H, W)``, or
        several ``(N, T, 3, H, W)``."""
        return self.head(self.backbone(template, search, self.ce_template_cells, keep_ratio).search)

    def loss(self, inputs: dict[str, Tensor], data_samples: list) -> dict[str, Tensor]:
        """Compute the losses of a batch.

        Args:
            inputs: Normalized crops: ``img`` for the T templates of each search region, sample by sample,
                ``(N * T, 3, H, W)``; ``search_img`` for the search regions ``(N, 3, H, W)``.
            data_samples: N data samples with the target (x1, y1, x2, y2) in ``search_gt_instances.bboxes``, in pixels
                of the search region.
        """
        search = inputs['search_img']
        boxes = boxes_in_crops([sample.search_gt_instances.bboxes for sample in data_samples], search)
        templates = inputs['img'].unflatten(0, (len(search), -1))
        return self.head.loss(self.predict_maps(templates, search, self.keep_ratio), boxes)

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

    def _new_state(self, template: Tensor, resize_factor: float, box: list[float]) -> TrackState:
        """State of a new target from its normalized template, which was resized by a factor."""
        return TrackState(template, box)

    def _locate(self, search: Tensor, targets: Sequence[TrackState]) -> tuple[Tensor, Tensor, Sequence[TrackState]]:
        """Locate N targets in their normalized search regions ``(N, 3, H, W)``.

        Returns:
            Boxes and scores, as from :meth:`CenterHead.locate`, and the targets with what they remember of the frame.
        """
        template = torch.cat([target.template for target in targets])
        features = self.backbone(template, search, self.ce_template_cells).search
        return *self.head.locate(features, self.window), targets
