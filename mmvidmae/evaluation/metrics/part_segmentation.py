"""Mean IoU of part segmentation."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from mmvidmae.registry import METRICS
from mmvidmae.structures.label_maps import read_label_map

from ..functional import confusion_matrix, segmentation_scores
from .mask_metric import MaskMetric
from .video_metric import Summary, percent


class PartScores(NamedTuple):
    """Result of a video.

    Attributes:
        matrix: Pixel counts ``(C, C)``: rows are the ground truth, columns the prediction.
        num_frames: Number of scored frames.
    """

    matrix: np.ndarray
    num_frames: int


@METRICS.register_module()
class PartSegmentationMetric(MaskMetric):
    """Mean IoU of part propagation on VIP, from one confusion matrix over all frames of all videos.

    The metric reads ``pred_masks`` of the samples. The ground truth of a video is read from disk when it is scored.
    Predicted masks of another size are resized to it. Results, in per cent: ``parts/mIoU``, ``parts/mean_accuracy``,
    ``parts/overall_accuracy``, ``parts/frequency_weighted_IoU``, and tables per class and per sequence. Class names are
    ``classes`` of the dataset's metainfo.

    See :class:`VideoMetric` for logging, output files and distributed behavior.

    Args:
        out_dir: Folder for tables and masks. A video's masks are written to ``<out_dir>/<video>/<frame>.png`` when it
            is scored.
        num_classes: Number of classes including the background.
        score_first_frame: Whether frame 0, the reference frame, counts, as in all published numbers.
        format_only: Whether to write masks without scoring them, for data without ground truth.
        prefix: Prefix of the results' names instead of ``parts``.

    Raises:
        ValueError: If masks must be written but ``out_dir`` is not set.
    """

    default_prefix = 'parts'

    def __init__(
        self,
        out_dir: str | None = None,
        num_classes: int = 20,
        score_first_frame: bool = True,
        format_only: bool = False,
        prefix: str | None = None,
    ) -> None:
        super().__init__(
            out_dir, format_only, None, prefix, num_classes=num_classes, score_first_frame=score_first_frame
        )
        self.num_classes = num_classes
        self.score_first_frame = score_first_frame

    def score_masks(self, sample: Mapping[str, Any], masks: np.ndarray, frames: list[int]) -> PartScores:
        """Count the pixels of a video by true and predicted class.

        Raises:
            ValueError: If a predicted id is not a class.
        """
        if not self.score_first_frame:
            frames = [frame for frame in frames if frame > 0]
        matrix = np.zeros((self.num_classes, self.num_classes), dtype=np.int64)
        for frame in frames:
            gt = read_label_map(sample['gt_paths'][frame])
            try:
                matrix += confusion_matrix(masks[frame], gt, self.num_classes)
            except ValueError as error:
                raise ValueError(f'frame {sample["frame_names"][frame]}: {error}') from error
        return PartScores(matrix, len(frames))

    def summarize(self, videos: dict[str, PartScores]) -> Summary:
        """Compute the scores of the sum of all matrices."""
        matrix = sum(scores.matrix for scores in videos.values())
        total = segmentation_scores(matrix)
        names = self.names('classes', self.num_classes)
        per_class = {
            name: dict(IoU=percent(iou), pixels=int(pixels))
            for name, iou, pixels in zip(names, total.iou_per_class, matrix.sum(1), strict=True)
        }
        return Summary(
            dict(
                mIoU=100 * total.miou,
                mean_accuracy=100 * total.mean_accuracy,
                overall_accuracy=100 * total.overall_accuracy,
                frequency_weighted_IoU=100 * total.frequency_weighted_iou,
            ),
            dict(per_class=per_class, per_sequence={name: _row(scores) for name, scores in videos.items()}),
        )


def _row(scores: PartScores) -> dict[str, float | int | None]:
    if not scores.matrix.any():  # all pixels of the ground truth are ignored
        return dict(frames=scores.num_frames, mIoU=None, overall_accuracy=None)
    own = segmentation_scores(scores.matrix)
    return dict(frames=scores.num_frames, mIoU=100 * own.miou, overall_accuracy=100 * own.overall_accuracy)
