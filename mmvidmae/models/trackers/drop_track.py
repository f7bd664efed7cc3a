"""DropTrack and OSTrack as trackers of mmtrack."""

import mmvidmae.compat.mmtrack.enabled  # noqa: F401 (makes mmtrack importable)

# isort: split
import time
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from mmengine.model import BaseDataPreprocessor
from mmengine.structures import InstanceData
from mmtrack.models.sot.base import BaseSingleObjectTracker
from torch import Tensor

from mmvidmae.registry import MODELS

from ..layers import require
from .candidate_elimination import template_cells
from .center_head import CenterMaps
from .geometry import Box, box_to_frame, check_box, clip_box, hann_window, sample_crop


class Target(NamedTuple):
    """What a tracker knows of its target.

    Attributes:
        template: Normalised template ``(1, 3, H, W)``.
        box: Where it was last, (x, y, w, h) in pixels of the frame.
    """

    template: Tensor
    box: list[float]


@MODELS.register_module()
class CropPreprocessor(BaseDataPreprocessor):
    """Normalises crops on the device; whole frames of test videos stay as they are, on the CPU, and only crops travel.

    Args:
        mean: Of the channels red, green and blue, in [0, 255].
        std: Likewise.
        bgr_to_rgb: Whether images come as blue, green and red, as MMCV loads them.
    """

    def __init__(
        self,
        mean: Sequence[float] = (123.675, 116.28, 103.53),
        std: Sequence[float] = (58.395, 57.12, 57.375),
        bgr_to_rgb: bool = True,
    ) -> None:
        super().__init__()
        self.register_buffer('mean', torch.tensor(mean).view(-1, 1, 1), persistent=False)
        self.register_buffer('std', torch.tensor(std).view(-1, 1, 1), persistent=False)
        self.bgr_to_rgb = bgr_to_rgb

    def normalize(self, crops: Tensor) -> Tensor:
        """Crops ``(N, 3, H, W)``, uint8 and on any device, as the network wants them."""
        crops = crops.to(self.device)
        return ((crops.flip(1) if self.bgr_to_rgb else crops).float() - self.mean) / self.std

    def forward(self, data: dict, training: bool = False) -> dict:
        """Stack and normalise the crops ``(1, 3, H, W)`` of a training batch; stack a test batch."""
        inputs = {name: torch.stack(list(images)) for name, images in data['inputs'].items()}
        if training:
            inputs = {name: self.normalize(images.flatten(0, 1)) for name, images in inputs.items()}
        return dict(inputs=inputs, data_samples=self.cast_data(data['data_samples']))


@MODELS.register_module()
class DropTrack(BaseSingleObjectTracker):
    """One-stream tracker: template and search region go through one encoder, a head reads the box (DropMAE,
    arXiv:2304.00571, section 4; OSTrack, arXiv:2203.11991, which it becomes without frame identities).

    It tests in mmtrack's loop, frame by frame (``test_cfg.test_mode`` ``'OPE'`` or ``'VOT'``). :meth:`start` and
    :meth:`step` are the same without a loop.

    Args:
        backbone: Config of an :class:`OneStreamViT`; ``template_size`` and ``search_size`` are filled in.
        head: Config of a :class:`CenterHead`.
        template_size: Side of the template in pixels.
        search_size: Side of the search region in pixels.
        template_factor: Side of the template in units of the square root of the target's area.
        search_factor: Side of the search region, likewise.
        cells: Template cells that judge search tokens; see :func:`template_cells`.
        test_cfg: ``test_mode``, and ``margin``: how many pixels of the box stay inside the frame (10).
        data_preprocessor: Config of a :class:`CropPreprocessor`.
        init_cfg: As in MMEngine.

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
        cells: str = 'CTR_POINT',
        test_cfg: dict | None = None,
        data_preprocessor: dict | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(data_preprocessor or dict(type='mmvidmae.CropPreprocessor'), init_cfg)
        for name, factor in (('template_factor', template_factor), ('search_factor', search_factor)):
            require(factor > 0, self, name, factor, 'a positive number')
        for name, size in (('template_size', template_size), ('search_size', search_size)):
            require(isinstance(size, int) and size > 0, self, name, size, 'one positive number of pixels')
        sizes = dict(template_size=template_size, search_size=search_size)
        self.backbone = MODELS.build({**sizes, **backbone})
        self.head = MODELS.build({'in_channels': self.backbone.embed_dims, **head})
        self.template_crop = dict(factor=template_factor, out_size=template_size)
        self.search_crop = dict(factor=search_factor, out_size=search_size)
        self.test_cfg = dict(test_mode='OPE', margin=10) | (test_cfg or {})
        mode, margin = self.test_cfg['test_mode'], self.test_cfg['margin']
        require(mode in ('OPE', 'VOT'), self, 'test_cfg.test_mode', mode, "'OPE' or 'VOT'")
        require(margin >= 0, self, 'test_cfg.margin', margin, 'at least 0 pixels')
        self.keep_rate = 1.0
        """Share of the search tokens kept in training; :class:`CandidateEliminationHook` sets it each epoch."""
        self.register_buffer('cells', template_cells(cells, self.backbone.grids[0]), persistent=False)
        self.register_buffer('window', hann_window(*self.backbone.grids[1]), persistent=False)

    def _forward(self, inputs: dict[str, Tensor], data_samples: list | None = None) -> CenterMaps:
        """Maps for the normalised crops of a batch, ``img`` the templates and ``search_img`` the search regions."""
        return self.predict_maps(inputs['img'], inputs['search_img'])

    def predict_maps(self, template: Tensor, search: Tensor, keep_rate: float | None = None) -> CenterMaps:
        """Maps for normalised templates and search regions ``(N, 3, H, W)``."""
        return self.head(self.backbone(template, search, self.cells, keep_rate).search)

    def loss(self, inputs: dict[str, Tensor], data_samples: list) -> dict[str, Tensor]:
        """Losses of a batch: ``img`` ``(N, 3, H, W)`` the templates, ``search_img`` the search regions, and in
        ``search_gt_instances.bboxes`` of each data sample the target (x1, y1, x2, y2) in pixels of its search region.
        """
        search = inputs['search_img']
        height, width = search.shape[-2:]
        boxes = torch.cat([sample.search_gt_instances.bboxes for sample in data_samples]).to(search)
        boxes = torch.cat((boxes[:, :2], boxes[:, 2:] - boxes[:, :2]), dim=1)
        boxes = boxes / boxes.new_tensor((width, height, width, height))
        return self.head.loss(self.predict_maps(inputs['img'], search, self.keep_rate), boxes)

    @torch.no_grad()
    def start(self, frame: np.ndarray, box: Box) -> Target:
        """Take up a target.

        Args:
            frame: ``(H, W, 3)`` uint8, in the channel order that the data preprocessor is set for.
            box: (x, y, w, h) in pixels.

        Raises:
            ValueError: If the box is not four finite numbers, has no area, or does not overlap the frame.
        """
        box = check_box(box, frame.shape[:2])
        return Target(self._crop(frame, box, **self.template_crop)[0], box)

    @torch.no_grad()
    def step(self, frame: np.ndarray, target: Target) -> tuple[Target, float]:
        """Find a target in the next frame ``(H, W, 3)``.

        The maximum of the score, weighted with a Hann window, gives the box, which is kept inside the frame by at least
        the margin: a target that leaves is waited for at the border where it left.

        Returns:
            The target with its new box, and the score in [0, 1], window included.
        """
        search, resize_factor = self._crop(frame, target.box, **self.search_crop)
        box, score = self.head.locate(self.backbone(target.template, search, self.cells).search, self.window)
        *box, score = torch.cat((box[0], score)).tolist()
        box = box_to_frame(box, target.box, resize_factor, self.search_crop['out_size'])
        return Target(target.template, clip_box(box, frame.shape[:2], self.test_cfg['margin'])), score

    def _crop(self, frame: np.ndarray, box: Box, factor: float, out_size: int) -> tuple[Tensor, float]:
        crop, resize_factor = sample_crop(frame, box, factor, out_size)
        return self.data_preprocessor.normalize(torch.from_numpy(crop).permute(2, 0, 1)[None]), resize_factor

    def predict(self, inputs: dict[str, Tensor], data_samples: list) -> list:
        """Track through a video, a frame ``(1, 1, 3, H, W)`` at a time (mmtrack's loop).

        Raises:
            ValueError: If the target cannot be taken up; names the frame.
        """
        try:
            return super().predict(inputs, data_samples)
        except ValueError as error:
            raise ValueError(f'{data_samples[0].metainfo.get("img_path", "a frame")}: {error}') from error

    def init(self, img: Tensor) -> None:
        """Take up the target at ``memo.bbox`` (cx, cy, w, h) in a frame ``(1, 3, H, W)`` uint8."""
        cx, cy, width, height = self.memo.bbox.tolist()
        self.memo.target = self.start(_to_numpy(img), (cx - width / 2, cy - height / 2, width, height))

    def track(self, img: Tensor, data_samples: list) -> list[InstanceData]:
        """Find it in the next frame: box (x1, y1, x2, y2) ``(1, 4)``, score and seconds that it took ``(1,)``."""
        start = time.perf_counter()
        self.memo.target, score = self.step(_to_numpy(img), self.memo.target)
        seconds = time.perf_counter() - start
        x, y, width, height = self.memo.target.box
        values = dict(bboxes=[[x, y, x + width, y + height]], scores=[score], seconds=[seconds])
        return [InstanceData(**{name: torch.tensor(value) for name, value in values.items()})]


def _to_numpy(img: Tensor) -> np.ndarray:
    """Frame ``(H, W, 3)``; a view where the frame was loaded by MMCV."""
    return np.ascontiguousarray(img[0].permute(1, 2, 0).cpu().numpy())
