"""Tracking with a frozen encoder, without training."""

from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from mmengine.structures import BaseDataElement
from torch import Tensor, nn

from mmvidmae.registry import MODELS
from mmvidmae.structures.boxes import Box, box_to_frame, check_box, clip_box, crop_padding, crop_side, sample_crop

from ..layers import require
from ..propagation import FrozenBackbone
from .single_object_tracker import SingleObjectTracker


class FrozenTrackState(NamedTuple):
    """State of a target of a :class:`FrozenTracker`. Its size does not depend on the length of the video.

    Attributes:
        box: Last box (x, y, w, h) in pixels of the frame.
        matched: State of the matcher.
        memory: State of a recurrent backbone, else None.
        margin: Number of pixels of the box that stay inside the frame.
    """

    box: list[float]
    matched: NamedTuple
    memory: Tensor | None
    margin: float


@MODELS.register_module()
class FrozenTracker(FrozenBackbone, SingleObjectTracker):
    """Follows a box with the features of a frozen backbone. Nothing is trained.

    In each frame, a square around the last box is cut out and encoded. A matcher finds the target in its features.

    Args:
        backbone: Config of a backbone whose last output is a feature map, as for :class:`LabelPropagator`, or a module.
            A recurrent backbone (:class:`RecurrentViT`) runs through the crops of the video. They follow the target, so
            its state is that of a camera that does.
        matcher: Config of a :class:`PropagationMatcher` or a :class:`CorrelationMatcher`.
        search_size: Side of the crop in pixels.
        search_factor: Side of the crop in units of the square root of the target's area.
        size_rate: Share of the found size in the new one, the rest is the last size; 0 keeps the size.
        max_growth: Largest factor by which width and height may change from frame to frame.
        test_cfg: Options for testing, see :class:`SingleObjectTracker`.
        data_preprocessor: Config of a :class:`CropPreprocessor`.

    Raises:
        ValueError: If a value is out of range, or a recurrent backbone is combined with several scales.
    """

    def __init__(
        self,
        backbone: dict | nn.Module,
        matcher: dict,
        search_size: int,
        search_factor: float = 4.0,
        size_rate: float = 0.5,
        max_growth: float = 1.2,
        test_cfg: dict | None = None,
        data_preprocessor: dict | None = None,
    ) -> None:
        super().__init__(test_cfg, data_preprocessor)
        whole = isinstance(search_size, int) and search_size > 0
        require(whole, self, 'search_size', search_size, 'one positive number of pixels')
        require(search_factor > 1, self, 'search_factor', search_factor, 'above 1')
        require(0 <= size_rate <= 1, self, 'size_rate', size_rate, 'from 0 to 1')
        require(max_growth >= 1, self, 'max_growth', max_growth, 'at least 1')
        self.search_size, self.search_factor = search_size, search_factor
        self.size_rate, self.max_growth = size_rate, max_growth
        self.matcher = MODELS.build(matcher)
        self.set_backbone(backbone)
        if self.recurrent:
            require(self.matcher.scales == (1.0,), self, 'matcher.scales', self.matcher.scales, '(1,): ' + _ONE_CROP)

    @torch.no_grad()
    def initialize(self, frame: np.ndarray, box: Box) -> FrozenTrackState:
        """Initialize the tracker with a target. See :meth:`SingleObjectTracker.initialize`."""
        box = check_box(box, frame.shape[:2])
        crops, inside, size = self._crop(frame, box, (1.0,))
        features, memory = self.unit_features(crops)
        inside = F.adaptive_avg_pool2d(inside[:, None], features.shape[2:])[:, 0]
        matched = self.matcher.start(features[0], inside[0], size)
        return FrozenTrackState(box, matched, memory, min(self.test_cfg['margin'], *box[2:]))

    @torch.no_grad()
    def track(self, frame: np.ndarray, target: FrozenTrackState) -> tuple[FrozenTrackState, float]:
        """Track a target in the next frame ``(H, W, 3)``. See :meth:`SingleObjectTracker.track`.

        The score is that of the matcher. Where a target is smaller than ``margin`` at first, its smaller side takes
        the place of the margin.
        """
        crops, inside, size = self._crop(frame, target.box, self.matcher.scales)
        features, memory = self.unit_features(crops, target.memory)
        inside = F.adaptive_avg_pool2d(inside[:, None], features.shape[2:])[:, 0]
        found = self.matcher.locate(target.matched, features, inside, size)
        growth = (found.size / size).clamp(1 / self.max_growth, self.max_growth)
        size = size * (1 + self.size_rate * (growth - 1))
        side = crop_side(target.box, self.search_factor)
        box = box_to_frame(torch.cat((found.center, size)).tolist(), target.box, 1.0, side)
        box = clip_box(box, frame.shape[:2], target.margin)
        return FrozenTrackState(box, found.state, memory, target.margin), found.score

    def _crop(self, frame: np.ndarray, box: Box, scales: tuple[float, ...]) -> tuple[Tensor, Tensor, Tensor]:
        """Crops around a box at some scales.

        Returns:
            Normalized crops ``(S, 3, H, W)``, where they are no padding ``(S, H, W)``, and the size (w, h) of the box
            in units of the crop at scale 1.
        """
        crops, padding = (
            [of(image, box, self.search_factor * scale, self.search_size) for scale in scales]
            for of, image in ((sample_crop, frame), (crop_padding, frame.shape[:2]))
        )
        crops = torch.from_numpy(np.stack([crop for crop, _ in crops])).permute(0, 3, 1, 2)
        crops = self.data_preprocessor.normalize(crops)
        inside = 1 - torch.from_numpy(np.stack(padding)).to(crops)
        return crops, inside, crops.new_tensor(box[2:]) / crop_side(box, self.search_factor)

    def forward(
        self, inputs: dict[str, Tensor], data_samples: list[BaseDataElement] | None = None, mode: str = 'tensor'
    ) -> Tensor | list[BaseDataElement]:
        """Entry point of MMEngine.

        Args:
            inputs: Dict with ``img``: a whole frame for ``'predict'``, see :meth:`predict`; for ``'tensor'``
                normalized crops ``(N, 3, H, W)``.
            data_samples: See :meth:`predict`.
            mode: ``'predict'`` returns data samples, ``'tensor'`` unit-length features ``(N, C, h, w)``.

        Raises:
            RuntimeError: In mode ``'loss'``, since the model is not trained.
        """
        if mode == 'predict':
            return self.predict(inputs, data_samples)
        if mode == 'tensor':
            return self.unit_features(inputs['img'])[0]
        raise RuntimeError(f"FrozenTracker is frozen: its modes are 'predict' and 'tensor', not {mode!r}")


_ONE_CROP = 'a recurrent backbone reads one crop of each frame'
