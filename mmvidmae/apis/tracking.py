"""Single-object tracking in a video or a camera stream."""

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from itertools import zip_longest
from os import PathLike
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import torch
from mmengine.config import Config
from mmengine.structures import BaseDataElement
from torch import nn

from mmvidmae.deployment import OnnxTracker
from mmvidmae.models.trackers import SingleObjectTracker
from mmvidmae.utils.files import atomic_write
from mmvidmae.visualization import VideoVisualizer

from .base import VideoInferencer
from .videos import Source, Video, check_frames, open_video


class TrackingInferencer(VideoInferencer):
    """Tracks one or several targets from their boxes in the first frame. See :class:`VideoInferencer` for the
    arguments of the constructor. ``model`` may also be an ONNX file of ``tools/deployment/export.py``, which runs
    without PyTorch's model and takes no ``weights``.

    Example:
        >>> tracker = TrackingInferencer('CONFIG.py', 'CHECKPOINT.pth')
        >>> boxes = tracker('video.mp4', box=(120, 80, 64, 48), out_dir='results')['predictions']['boxes_xywh']
        >>> for sample in tracker.stream(0, box=(120, 80, 64, 48)):  # camera 0
        ...     sample.frame, sample.pred_bbox, sample.pred_score
    """

    model_type = SingleObjectTracker
    visualizer_type = VideoVisualizer
    preprocess_kwargs = {'thermal'}
    forward_kwargs = {'box'}

    def __init__(
        self,
        model: nn.Module | str | PathLike | Config,
        weights: str | PathLike | None = None,
        device: str | torch.device | None = None,
        show_progress: bool = True,
    ) -> None:
        if isinstance(model, str | PathLike) and Path(model).suffix.lower() == '.onnx':
            if weights is not None:
                raise ValueError(f'{model} holds its weights: leave the checkpoint {weights} out')
            model, device = OnnxTracker(Path(model), device), None
        super().__init__(model, weights, device, show_progress)

    def __call__(  # type: ignore[override]
        self,
        inputs: Video,
        box: Sequence[float] | Sequence[Sequence[float]],
        thermal: Video | None = None,
        return_datasamples: bool = False,
        out_dir: str | PathLike | None = None,
        save_pred: bool = True,
        save_vis: bool = True,
        vis_format: str = '.mp4',
        fps: float | None = None,
    ) -> dict[str, Any]:
        """Track the targets to the end of the video.

        Args:
            inputs: Video file, folder of images, camera number, or an iterable of uint8 RGB frames ``(H, W, 3)``. None
                in an iterable is a lost frame, in which the target keeps its last box.
            box: Box (x, y, w, h) of the target in pixels of the first frame, or a list of boxes, which are tracked
                together: the encoder gets all targets of a frame as one batch.
            thermal: Second modality, for a tracker of two (BAT): an aligned video with as many frames of the same size.
                A frame that is lost in one modality is lost.
            return_datasamples: Whether to return a data sample for each frame, with the frame.
            out_dir: Folder for output files. By default nothing is written.
            save_pred: Whether to write ``<out_dir>/preds/<name>.txt`` with a line ``x,y,w,h`` for each frame, and
                ``<name>.json`` with boxes and scores. A line is written at once, so a killed run keeps its boxes. For
                several targets, ``<name>_1.txt``, ``<name>_2.txt`` and so on.
            save_vis: Whether to write ``<out_dir>/vis/<name>.mp4`` with drawn boxes.
            vis_format: Suffix of this video.
            fps: Frames per second of this video; by default those of the source, or 25 if unknown.

        Returns:
            ``predictions``: a dictionary of ``video``, ``boxes_xywh`` ((x, y, w, h) in pixels for each frame) and
            ``scores`` (in [0, 1]; 1 for the first frame, 0 for lost frames), or data samples with ``frame``,
            ``pred_bbox`` and ``pred_score``. For a list of boxes, each frame has a list of boxes and of scores.
            ``visualization``: path of the video with boxes, or None.

        Raises:
            Interrupted: After an interrupt, unless the video is a camera. The files are complete.
            VideoReadError: If a video cannot be read.
            ValueError: If the modalities do not fit the model or each other, the box is not four finite numbers, has no
                area or is outside the frame, the first frame is lost, a frame is invalid, or the output video cannot be
                written.
        """
        outputs = (out_dir, save_pred, save_vis, vis_format, fps)
        return super().__call__(inputs, return_datasamples, 1, *outputs, box=box, thermal=thermal)

    def preprocess(self, inputs: Video, batch_size: int = 1, thermal: Video | None = None) -> Source:
        """Open a video, or the two videos of two modalities, whose frames are then ``(H, W, 6)``."""
        source, name = open_video(inputs), type(self.model).__name__
        if thermal is None:
            if self.model.num_modalities > 1:
                raise ValueError(f'{name} tracks in two modalities: set thermal, the aligned thermal video')
            return source._replace(items=check_frames(source.items))
        if self.model.num_modalities < 2:
            raise ValueError(f'{name} tracks in one modality: leave thermal out, or use a tracker such as BAT')
        second = open_video(thermal)
        if None not in (source.length, second.length) and source.length != second.length:
            raise ValueError(f'{source.name} has {source.length} frames, but {second.name} has {second.length}')
        return source._replace(items=_pair(check_frames(source.items), check_frames(second.items)))

    def forward(
        self, inputs: Iterable[np.ndarray | None], box: Sequence[float] | Sequence[Sequence[float]]
    ) -> Iterator[BaseDataElement]:
        """Track the targets frame by frame. The sample of a lost frame has no field ``frame``."""
        several = np.asarray(box, object).ndim == 2
        given: Sequence[Any] = box if several else [box]
        targets: Sequence[Any] = []
        scores: Sequence[float] = []
        for number, frame in enumerate(inputs):
            sample = BaseDataElement(metainfo=dict(frame_id=number))
            if frame is None:
                if not targets:
                    raise ValueError('the first frame, which shows the target, is missing')
                scores = [0.0] * len(targets)
            else:
                image = _to_bgr(frame) if self.model.data_preprocessor.bgr_to_rgb else frame
                if targets:
                    targets, scores = zip(*self.model.track_all(image, targets), strict=True)
                else:
                    targets, scores = [self.model.initialize(image, one) for one in given], [1.0] * len(given)
                sample.frame = frame if self.model.num_modalities == 1 else frame[..., :3]
            boxes = [target.box for target in targets]
            sample.pred_bbox, sample.pred_score = (boxes, [*scores]) if several else (boxes[0], scores[0])
            yield sample

    def postprocess(
        self, preds: Iterable[BaseDataElement], source: Source, path: Path | None, results: dict[str, Any]
    ) -> Iterator[BaseDataElement]:
        """Save boxes and scores."""
        boxes: list[list] = []
        scores: list[float | list[float]] = []
        results['predictions'] = dict(video=source.name, boxes_xywh=boxes, scores=scores)
        with ExitStack() as opened:
            files: list[TextIO] = []
            for pred in preds:
                several = isinstance(pred.pred_score, list)
                found = pred.pred_bbox if several else [pred.pred_bbox]
                if path is not None:
                    if not files:
                        path.parent.mkdir(parents=True, exist_ok=True)
                        names = (
                            [f'{path}_{number + 1}.txt' for number in range(len(found))] if several else [f'{path}.txt']
                        )
                        files = [opened.enter_context(open(name, 'w', buffering=1, encoding='utf-8')) for name in names]
                    for file, box in zip(files, found, strict=True):
                        file.write(','.join(f'{value:.3f}' for value in box) + '\n')
                boxes.append(pred.pred_bbox)
                scores.append(pred.pred_score)
                yield pred
        if path is not None and boxes:
            with atomic_write(f'{path}.json') as part:
                part.write_text(json.dumps(results['predictions']))


def _to_bgr(frame: np.ndarray) -> np.ndarray:
    """Convert ``(H, W, 3 * m)`` from RGB to BGR, each modality by itself."""
    height, width, _ = frame.shape
    return np.ascontiguousarray(frame.reshape(height, width, -1, 3)[..., ::-1]).reshape(frame.shape)


def _pair(visible: Iterable[np.ndarray | None], thermal: Iterable[np.ndarray | None]) -> Iterator[np.ndarray | None]:
    """Yield frames ``(H, W, 6)`` of two modalities; None if one is lost.

    Raises:
        ValueError: If the videos have different lengths, or frames different sizes.
    """
    missing: Any = object()
    for number, (first, second) in enumerate(zip_longest(visible, thermal, fillvalue=missing)):
        if first is missing or second is missing:
            which = 'visible' if first is missing else 'thermal'
            raise ValueError(f'the {which} video ends before frame {number}, which the other has')
        if first is None or second is None:
            yield None
            continue
        if first.shape != second.shape:
            sizes = ' and '.join(f'{frame.shape[1]} x {frame.shape[0]}' for frame in (first, second))
            raise ValueError(f'frame {number}: the visible and thermal images have different sizes: {sizes} pixels')
        yield np.concatenate((first, second), axis=2)
