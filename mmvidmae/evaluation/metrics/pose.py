"""PCK of pose propagation."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mmvidmae.registry import METRICS

from ..functional import joint_distances, keypoint_accuracy
from .video_metric import Summary, VideoMetric


@METRICS.register_module()
class PoseMetric(VideoMetric):
    """PCK of pose propagation on JHMDB, as defined by CRW.

    The metric reads ``pred_joints`` and ``gt_joints`` of the samples. Frame 0, the reference frame, and joints that are
    predicted invisible are excluded. PCK is computed for each joint over all frames of all videos, then averaged over
    joints. Results, in per cent: ``pose/PCK@0.1`` and so on, and tables per joint and per sequence. Joint names are
    ``joint_names`` of the dataset's metainfo.

    See :class:`VideoMetric` for logging, output files and distributed behavior.

    Args:
        out_dir: Folder for tables.
        thresholds: Thresholds in units of 0.6 times the diagonal of the box around the visible joints.
        prefix: Prefix of the results' names instead of ``pose``.

    Source: ``alexandre-eymael/CropMAE@5d0dab2:downstreams/propagation/src/eval/eval_pck.py:57-152``.
    """

    default_prefix = 'pose'

    def __init__(
        self,
        out_dir: str | None = None,
        thresholds: Sequence[float] = (0.1, 0.2, 0.3, 0.4, 0.5),
        prefix: str | None = None,
    ) -> None:
        super().__init__(out_dir, prefix)
        self.thresholds = tuple(thresholds)

    def score_video(self, sample: Mapping[str, Any]) -> np.ndarray:
        """Compute the relative distances ``(T - 1, J)`` of the joints, see :func:`joint_distances`."""
        return joint_distances(sample['pred_joints'], sample['gt_joints'])

    def summarize(self, videos: dict[str, np.ndarray]) -> Summary:
        """Compute PCK over the frames of all videos."""
        per_joint, means = keypoint_accuracy(np.concatenate(list(videos.values())), self.thresholds)
        names = self.names('joint_names', per_joint.shape[1])
        return Summary(
            self._row(means),
            dict(
                per_joint={name: self._row(values) for name, values in zip(names, per_joint.T, strict=True)},
                per_sequence={name: self._sequence_row(distances) for name, distances in videos.items()},
            ),
        )

    def _sequence_row(self, distances: np.ndarray) -> dict[str, float | int | None]:
        visible = not np.isnan(distances).all()
        means = keypoint_accuracy(distances, self.thresholds)[1] if visible else [np.nan] * len(self.thresholds)
        return dict(frames=len(distances), **self._row(means))

    def _row(self, percentages: Sequence[float]) -> dict[str, float | None]:
        return {
            f'PCK@{threshold:g}': None if np.isnan(value) else float(value)
            for threshold, value in zip(self.thresholds, percentages, strict=True)
        }
