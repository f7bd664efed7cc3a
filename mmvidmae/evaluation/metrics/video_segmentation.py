"""J and F of video object segmentation."""

from bisect import bisect_right
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from mmvidmae.registry import METRICS
from mmvidmae.structures.label_maps import VOID, read_label_map

from ..functional import SequenceScores, score_sequence, summarize_sequences
from .mask_metric import MaskMetric
from .video_metric import Summary


@METRICS.register_module()
class VideoSegmentationMetric(MaskMetric):
    """Region similarity J and boundary accuracy F of DAVIS' semi-supervised task, as in davis2017-evaluation.

    The metric reads ``pred_masks`` of the samples. The ground truth of a video is read from disk when it is scored. The
    first and the last frame with ground truth are not scored. Objects are the ids of the first frame and those with a
    later reference mask (YouTube-VOS), which are scored in the frames after it. Means are over the objects of all
    videos. Results, in per cent: ``vos/J&F-Mean``, ``vos/J-Mean``, ``vos/J-Recall``, ``vos/J-Decay``, ``vos/F-Mean``,
    ``vos/F-Recall``, ``vos/F-Decay``, and tables per sequence and per object.

    See :class:`VideoMetric` for logging, output files and distributed behavior.

    Predictions must have the size of the ground truth. Published numbers of CropMAE, RSP and CatMAE use 480x880, where
    F is slightly higher: set ``gt_size=(480, 880)``.

    Args:
        out_dir: Folder for tables and masks. A video's masks are written to ``<out_dir>/<video>/<frame>.png`` when it
            is scored.
        gt_size: Size ``(H, W)`` in pixels to which the ground truth is resized with Pillow's nearest neighbor. None
            keeps its size.
        merge_objects: Whether to treat all objects as one, as in DAVIS-2016: any id above 0, including 255.
        format_only: Whether to write masks without scoring them, for data without ground truth.
        submission: Server for which to pack the masks into ``<out_dir>/<prefix>_submission.zip``: ``'davis'`` (2017
            test-dev), ``'youtube_vos'`` or None.
        prefix: Prefix of the results' names instead of ``vos``.

    Raises:
        ValueError: If masks must be written but ``out_dir`` is not set, or the server is unknown.
    """

    default_prefix = 'vos'

    def __init__(
        self,
        out_dir: str | None = None,
        gt_size: tuple[int, int] | None = None,
        merge_objects: bool = False,
        format_only: bool = False,
        submission: str | None = None,
        prefix: str | None = None,
    ) -> None:
        self.gt_size = None if gt_size is None else tuple(gt_size)
        self.merge_objects = merge_objects
        super().__init__(
            out_dir, format_only, submission, prefix, gt_size=self.gt_size or 'native', merge_objects=merge_objects
        )

    def read_masks(self, sample: Mapping[str, Any]) -> np.ndarray:
        """Predicted masks, with one object if all are merged."""
        masks = super().read_masks(sample)
        return (masks > 0).astype(np.uint8) if self.merge_objects else masks

    def score_masks(self, sample: Mapping[str, Any], masks: np.ndarray, frames: list[int]) -> SequenceScores:
        """Compute J and F of every object in every scored frame.

        Raises:
            ValueError: If sizes differ, or as in :func:`score_sequence`.
        """
        gt = [self._read_gt(sample['gt_paths'][frame], masks.shape[1:]) for frame in frames]
        later = {}
        for frame, mask in sorted(sample['reference_masks'].items(), reverse=True):  # the first reference counts
            if frame != frames[0]:
                ids = np.unique(np.asarray(mask) > 0 if self.merge_objects else mask)
                later.update({int(i): bisect_right(frames, frame) for i in ids if i not in (0, VOID)})
        return score_sequence(masks[frames], np.stack(gt), later=later)

    def summarize(self, videos: dict[str, SequenceScores]) -> Summary:
        """Compute the means over the objects of all videos."""
        per_sequence, per_object = {}, {}
        for name, scores in videos.items():
            num_objects, num_frames = scores.region.shape
            per_sequence[name] = dict(objects=num_objects, frames=num_frames, **_in_percent(scores))
            for index, number in enumerate(scores.ids):
                own = SequenceScores(scores.region[[index]], scores.boundary[[index]], (number,))
                scored = np.count_nonzero(~np.isnan(own.region))
                if scored:
                    per_object[f'{name}/{number}'] = dict(frames=scored, **_in_percent(own))
        return Summary(_in_percent(*videos.values()), dict(per_sequence=per_sequence, per_object=per_object))

    def _read_gt(self, path: str | Path, size: tuple[int, int]) -> np.ndarray:
        gt = read_label_map(path)
        if self.gt_size is not None and gt.shape != self.gt_size:
            gt = np.asarray(Image.fromarray(gt).resize(self.gt_size[::-1], Image.Resampling.NEAREST))
        if gt.shape != size:
            raise ValueError(
                f'predicted masks are {size[0]}x{size[1]}, but ground truth is {gt.shape[0]}x{gt.shape[1]} '
                f'({path}{", resized" if self.gt_size else ""}): let out_shape of the samples and gt_size of the '
                'metric be the same, or leave both out to score at the size of the ground truth'
            )
        return (gt > 0).astype(np.uint8) if self.merge_objects else gt


def _in_percent(*sequences: SequenceScores) -> dict[str, float]:
    return {name: 100 * value for name, value in summarize_sequences(sequences).items()}
