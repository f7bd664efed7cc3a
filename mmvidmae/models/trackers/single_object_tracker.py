"""What single-object trackers share: the interface, and the test loop over the frames of videos."""

import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from mmengine.model import BaseDataPreprocessor, BaseModel
from mmengine.structures import BaseDataElement, InstanceData
from torch import Tensor

from mmvidmae.registry import MODELS
from mmvidmae.structures.boxes import Box, box_around
from mmvidmae.structures.regions import FAILED, INITIALIZED, UNKNOWN, region_overlap

from ..layers import require


class VideoState(NamedTuple):
    """State of a test loop within a video.

    Attributes:
        target: The target, or None before the first frame.
        start: Number of the frame of the last or next initialization.
    """

    target: Any
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


class SingleObjectTracker(BaseModel, ABC):
    """A tracker of one target in a video.

    It is an MMEngine model and needs no tracking toolbox. :meth:`initialize` and :meth:`track` follow one target and
    store nothing on the model. In a test loop over frames (mmtrack's datasets and ``VideoSampler``), :meth:`predict`
    gets the frames of one video after another, in order.

    Args:
        test_cfg: Options for testing. ``margin`` is the number of pixels of the box that stay inside the frame (10).
            ``test_mode`` is ``'OPE'``, which tracks to the end of the video, or ``'VOT'``, which initializes the
            tracker again five frames after a failure.
        data_preprocessor: Config of a :class:`CropPreprocessor`.
        init_cfg: Initialization config of MMEngine.

    Attributes:
        num_modalities: Number m of aligned images in a frame ``(H, W, 3 * m)``.
        test_defaults: Options for testing and their defaults.

    Raises:
        ValueError: If an option is unknown or out of range.
    """

    num_modalities = 1
    test_defaults: dict[str, Any] = dict(test_mode='OPE', margin=10)

    def __init__(
        self, test_cfg: dict | None = None, data_preprocessor: dict | None = None, init_cfg: dict | None = None
    ) -> None:
        super().__init__(data_preprocessor or dict(type='mmvidmae.CropPreprocessor'), init_cfg)
        given = test_cfg or {}
        known = ', '.join(self.test_defaults)
        require(given.keys() <= self.test_defaults.keys(), self, 'test_cfg', dict(given), f'a dict of {known}')
        self.test_cfg = self.test_defaults | given
        mode, margin = self.test_cfg['test_mode'], self.test_cfg['margin']
        require(mode in ('OPE', 'VOT'), self, 'test_cfg.test_mode', mode, "'OPE' or 'VOT'")
        require(margin >= 0, self, 'test_cfg.margin', margin, 'at least 0 pixels')
        self._video = VideoState(None, 0)

    @abstractmethod
    def initialize(self, frame: np.ndarray, box: Box) -> Any:
        """Initialize the tracker with a target.

        Args:
            frame: uint8 frame ``(H, W, 3)`` in the channel order that the data preprocessor expects.
            box: Box (x, y, w, h) of the target in pixels.

        Returns:
            State of the target. Its ``box`` is the given box.

        Raises:
            ValueError: If the box is not four finite numbers, has no area, or does not overlap the frame.
        """

    @abstractmethod
    def track(self, frame: np.ndarray, target: Any) -> tuple[Any, float]:
        """Track a target in the next frame ``(H, W, 3)``.

        Returns:
            State of the target, whose ``box`` is (x, y, w, h) in pixels, and a score in [0, 1]. The given state is
            not changed.
        """

    def track_all(self, frame: np.ndarray, targets: Sequence[Any]) -> list[tuple[Any, float]]:
        """Track several targets in the next frame ``(H, W, 3)``, each as :meth:`track` does."""
        return [self.track(frame, target) for target in targets]

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
