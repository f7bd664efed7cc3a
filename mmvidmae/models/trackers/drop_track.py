"""DropTrack and OSTrack."""

import time
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from mmengine.model import BaseDataPreprocessor, BaseModel
from mmengine.structures import BaseDataElement, InstanceData
from torch import Tensor

from mmvidmae.registry import MODELS
from mmvidmae.structures.boxes import Box, box_around, box_to_frame, check_box, clip_box, hann_window, sample_crop
from mmvidmae.structures.regions import FAILED, INITIALIZED, UNKNOWN, region_overlap

from ..layers import require
from .candidate_elimination import template_cells
from .center_head import CenterMaps


class TrackState(NamedTuple):
    """State of a tracked target.

    Attributes:
        template: Normalized template ``(1, 3, H, W)``.
        box: Last box (x, y, w, h) in pixels of the frame.
    """

    template: Tensor
    box: list[float]


class VideoState(NamedTuple):
    """State of a test loop within a video.

    Attributes:
        target: The target, or None before the first frame.
        start: Number of the frame of the last or next initialization.
    """

    target: TrackState | None
    start: int


@MODELS.register_module()
class CropPreprocessor(BaseDataPreprocessor):
    """Preprocessor that normalizes crops on the device. Frames of test videos stay on the CPU, and only their crops are
    moved to the device.

    Args:
        mean: Mean of R, G and B, 0 to 255.
        std: Standard deviation of R, G and B, 0 to 255.
        bgr_to_rgb: Whether the input images are BGR, as MMCV loads them.
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
        """Move uint8 crops ``(N, 3 * m, H, W)`` of m modalities to the model's device and normalize them."""
        crops = crops.to(self.device).unflatten(1, (-1, 3))
        return (((crops.flip(2) if self.bgr_to_rgb else crops).float() - self.mean) / self.std).flatten(1, 2)

    def forward(self, data: dict, training: bool = False) -> dict:
        """Stack a batch. In training, the crops ``(1, 3, H, W)`` are also normalized."""
        inputs = {name: torch.stack(list(images)) for name, images in data['inputs'].items()}
        if training:
            inputs = {name: self.normalize(images.flatten(0, 1)) for name, images in inputs.items()}
        return dict(inputs=inputs, data_samples=self.cast_data(data['data_samples']))


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
class DropTrack(BaseModel):
    """One-stream tracker: one encoder for template and search region, and a head for the box (DropMAE,
    arXiv:2304.00571, section 4). Without frame identities it is OSTrack (arXiv:2203.11991).

    It is an MMEngine model and needs no tracking toolbox. :meth:`initialize` and :meth:`track` follow one target and
    store nothing on the model. In a test loop over frames (mmtrack's datasets and ``VideoSampler``), :meth:`predict`
    gets the frames of one video after another, in order.

    Args:
        backbone: Config of an :class:`OneStreamViT`; ``template_size`` and ``search_size`` are filled in.
        head: Config of a :class:`CenterHead`.
        template_size: Side of the template in pixels.
        search_size: Side of the search region in pixels.
        template_factor: Side of the template in units of the square root of the target's area.
        search_factor: Side of the search region in the same units.
        ce_template_range: Template cells that score the search tokens; see :func:`template_cells`.
        test_cfg: Options for testing. ``margin`` is the number of pixels of the box that stay inside the frame (10).
            ``test_mode`` is ``'OPE'``, which tracks to the end of the video, or ``'VOT'``, which initializes the
            tracker again five frames after a failure.
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
        self.keep_ratio = 1.0
        """Share of the search tokens kept in training. :class:`CandidateEliminationHook` sets it each epoch."""
        self.register_buffer(
            'ce_template_cells', template_cells(ce_template_range, self.backbone.grids[0]), persistent=False
        )
        self.register_buffer('window', hann_window(*self.backbone.grids[1]), persistent=False)
        self._video = VideoState(None, 0)

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
        """Predict maps from normalized templates and search regions ``(N, 3, H, W)``."""
        return self.head(self.backbone(template, search, self.ce_template_cells, keep_ratio).search)

    def loss(self, inputs: dict[str, Tensor], data_samples: list) -> dict[str, Tensor]:
        """Compute the losses of a batch.

        Args:
            inputs: Normalized crops ``(N, 3, H, W)``: ``img`` for the templates, ``search_img`` for the search regions.
            data_samples: N data samples with the target (x1, y1, x2, y2) in ``search_gt_instances.bboxes``, in pixels
                of the search region.
        """
        search = inputs['search_img']
        boxes = boxes_in_crops([sample.search_gt_instances.bboxes for sample in data_samples], search)
        return self.head.loss(self.predict_maps(inputs['img'], search, self.keep_ratio), boxes)

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
        return self._new_state(*self._crop(frame, box, **self.template_crop), box)

    @torch.no_grad()
    def track(self, frame: np.ndarray, target: TrackState) -> tuple[TrackState, float]:
        """Track a target in the next frame ``(H, W, 3)``.

        The box is taken at the maximum of the score, weighted with a Hann window. At least ``margin`` pixels of the box
        stay inside the frame. After a target has left the frame, the tracker searches at the border where it left.

        Returns:
            The target with its new box, and the window-weighted score in [0, 1].
        """
        search, resize_factor = self._crop(frame, target.box, **self.search_crop)
        box, score, target = self._locate(search, target)
        *box, score = torch.cat((box[0], score)).tolist()
        box = box_to_frame(box, target.box, resize_factor, self.search_crop['out_size'])
        return target._replace(box=clip_box(box, frame.shape[:2], self.test_cfg['margin'])), score

    def _new_state(self, template: Tensor, resize_factor: float, box: list[float]) -> TrackState:
        """State of a new target from its normalized template, which was resized by a factor."""
        return TrackState(template, box)

    def _locate(self, search: Tensor, target: TrackState) -> tuple[Tensor, Tensor, TrackState]:
        """Locate a target in a normalized search region ``(1, 3, H, W)``.

        Returns:
            Box and score, as from :meth:`CenterHead.locate`, and the target with what it remembers of the frame.
        """
        features = self.backbone(target.template, search, self.ce_template_cells).search
        return *self.head.locate(features, self.window), target

    def _crop(self, frame: np.ndarray, box: Box, factor: float, out_size: int) -> tuple[Tensor, float]:
        crop, resize_factor = sample_crop(frame, box, factor, out_size)
        return self.data_preprocessor.normalize(torch.from_numpy(crop).permute(2, 0, 1)[None]), resize_factor

    def predict(self, inputs: dict[str, Tensor], data_samples: list[BaseDataElement]) -> list[BaseDataElement]:
        """Track one frame of a video. Frames must come in order. The tracking state of the current video is the only
        state of the model.

        Args:
            inputs: Dict with ``img``, a uint8 frame ``(1, 1, 3, H, W)``.
            data_samples: One data sample. ``frame_id`` is the frame's number in its video. ``gt_instances.bboxes`` is
                the target, (x1, y1, x2, y2) or four corners (x1, y1, x2, y2, ...) in pixels. It is read in frames where
                the tracker is initialized; in mode ``'VOT'``, in every frame.

        Returns:
            The data sample with ``pred_track_instances``: ``bboxes`` ``(1, 4)`` (x1, y1, x2, y2) in pixels, ``scores``
            and ``seconds`` ``(1,)``. The score of an initialization frame is -1. In mode ``'VOT'``, ``bboxes`` is a
            code ``(1, 1)`` of :mod:`mmvidmae.structures.regions` in frames where the tracker is initialized, has failed
            or is skipped.

        Raises:
            ValueError: If the batch has not exactly one frame, a video does not begin with its first frame, or the
                tracker cannot be initialized. The message names the frame.
        """
        (sample,), frames = data_samples, inputs['img']
        if len(frames) != 1:
            raise ValueError(f'a tracker is tested frame by frame: set test_dataloader.batch_size=1, got {len(frames)}')
        number, path = sample.metainfo['frame_id'], sample.metainfo.get('img_path', 'a frame')
        if number == 0:
            self._video = VideoState(None, 0)
        elif self._video.target is None:
            raise ValueError(f'{path}: the first frame of the video is missing')
        frame = np.ascontiguousarray(frames[0, 0].permute(1, 2, 0).cpu().numpy())
        try:
            found = self._predict_frame(frame, number, sample)
        except ValueError as error:
            raise ValueError(f'{path}: {error}') from error
        sample.pred_track_instances = InstanceData(**{name: torch.tensor(value) for name, value in found.items()})
        return [sample]

    def _predict_frame(self, frame: np.ndarray, number: int, sample: BaseDataElement) -> dict[str, list]:
        """Predict the target in a frame ``(H, W, 3)`` of a video."""
        target, start = self._video
        restarts = self.test_cfg['test_mode'] == 'VOT'
        if number < start:
            return dict(bboxes=[[float(UNKNOWN)]], scores=[-1.0], seconds=[0.0])
        begin = time.perf_counter()
        if number == start:
            x, y, width, height = box_around(sample.gt_instances.bboxes)
            target, score = self.initialize(frame, (x, y, width, height)), -1.0
        else:
            target, score = self.track(frame, target)
            x, y, width, height = target.box
        seconds = time.perf_counter() - begin
        box = [x, y, x + width, y + height] if not restarts or number > start else [float(INITIALIZED)]
        if restarts and number > start and self._overlap(target.box, frame, sample) <= 0:
            box, start = [float(FAILED)], number + 5
        self._video = VideoState(target, start)
        return dict(bboxes=[box], scores=[score], seconds=[seconds])

    def _overlap(self, box: list[float], frame: np.ndarray, sample: BaseDataElement) -> float:
        """Overlap of a box with the target's region, as defined by VOT."""
        true = sample.gt_instances.bboxes.flatten().tolist()
        if len(true) == 4:
            true = [true[0], true[1], true[2] - true[0], true[3] - true[1]]
        return region_overlap(box, true, frame.shape[1::-1])
