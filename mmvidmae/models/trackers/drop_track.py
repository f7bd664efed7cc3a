"""DropTrack and OSTrack."""

from collections.abc import Sequence

import torch
from mmengine.structures import BaseDataElement
from torch import Tensor

from mmvidmae.registry import MODELS
from mmvidmae.structures.boxes import hann_window

from .candidate_elimination import template_cells
from .center_head import CenterMaps
from .template_tracker import TemplateTracker


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
class DropTrack(TemplateTracker):
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
        test_cfg: Options for testing, see :class:`TemplateTracker`.
        data_preprocessor: Config of a :class:`CropPreprocessor`.
        init_cfg: Initialization config of MMEngine.

    Raises:
        ValueError: If a value is out of range.
    """

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
        super().__init__(
            template_size, search_size, template_factor, search_factor, test_cfg, data_preprocessor, init_cfg
        )
        sizes = dict(template_size=template_size, search_size=search_size)
        self.backbone = MODELS.build({**sizes, **backbone})
        self.head = MODELS.build({'in_channels': self.backbone.embed_dims, **head})
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

    def locate(self, template: Tensor, search: Tensor) -> tuple[Tensor, Tensor]:
        """Locate targets, see :meth:`TemplateTracker.locate`. This is what is exported."""
        features = self.backbone(template, search, self.ce_template_cells).search
        return self.head.locate(features, self.window)
