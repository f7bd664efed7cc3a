"""Base class of metrics that score and write label maps."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .prediction_writer import SUBMISSION_FOLDERS, PredictionWriter
from .video_metric import Summary, VideoMetric


class MaskMetric(VideoMetric):
    """Base class of metrics that score and write ``pred_masks``.

    Args:
        out_dir: Folder for tables and masks. A video's masks are written to ``<out_dir>/<video>/<frame>.png`` when it
            is scored.
        format_only: Whether to write masks without scoring them, for data without ground truth.
        submission: Server for which to pack the masks into ``<out_dir>/<prefix>_submission.zip``: ``'davis'``,
            ``'youtube_vos'`` or None.
        prefix: Prefix of the results' names.
        options: Options of the subclass that change its scores.

    Raises:
        ValueError: If masks must be written but ``out_dir`` is not set, or the server is unknown.
    """

    servers = tuple(SUBMISSION_FOLDERS)
    predictions = 'Masks'

    def __init__(
        self, out_dir: str | None, format_only: bool, submission: str | None, prefix: str | None, **options: Any
    ) -> None:
        super().__init__(out_dir, prefix, submission, **options)
        if out_dir is None and format_only:
            raise ValueError('format_only writes masks: set out_dir')
        self.format_only = format_only

    @property
    def writer(self) -> PredictionWriter | None:
        """Writer of masks to ``out_dir``, or None without ``out_dir``."""
        return None if self.out_dir is None else PredictionWriter(self.out_dir)

    @abstractmethod
    def score_masks(self, sample: Mapping[str, Any], masks: np.ndarray, frames: list[int]) -> Any:
        """Score the masks ``(T, H, W)`` of a video in ``frames``, which have ground truth. Returns any picklable
        value."""

    def read_masks(self, sample: Mapping[str, Any]) -> np.ndarray:
        """Predicted masks ``(T, H, W)``, uint8, as they are written."""
        masks = np.asarray(sample['pred_masks'])
        if masks.ndim != 3 or len(masks) != len(sample['frame_names']) or masks.dtype != np.uint8:
            raise ValueError(
                f'pred_masks must be uint8 (T, H, W) with one mask for each of {len(sample["frame_names"])} frames, '
                f'not {masks.dtype} {masks.shape}'
            )
        return masks

    def score_video(self, sample: Mapping[str, Any]) -> Any:
        """Write and score the masks of a video. Returns None if only reference frames have ground truth."""
        masks = self.read_masks(sample)
        if self.submission and masks.shape[1:] != tuple(sample['ori_shape']):
            raise ValueError(
                f'masks of {_size(masks.shape[1:])} pixels cannot be submitted, the frames have '
                f'{_size(sample["ori_shape"])}: let out_shape be the size of the frames'
            )
        if self.writer is not None:
            self.writer.write(sample['video_name'], sample['frame_names'], masks)
        frames = [frame for frame, path in enumerate(sample['gt_paths']) if path is not None]
        if self.format_only or not set(frames) - set(sample['reference_masks']):
            return None
        return self.score_masks(sample, masks, frames)

    def without_scores(self) -> Summary:
        """Return empty scores with ``format_only``, else raise an error."""
        if self.format_only:
            return Summary({}, {})
        raise ValueError(
            f'{type(self).__name__}: no video has ground truth beyond what is given; set format_only=True and an '
            'out_dir to write the predictions of such data'
        )

    def pack(self, path: Path, results: list[dict]) -> None:
        """Pack the masks of all videos."""
        frames = {result['video_name']: result['frame_names'] for result in results}
        self.writer.pack(path, frames, self.submission)


def _size(shape: Sequence[int]) -> str:
    return 'x'.join(map(str, shape))
