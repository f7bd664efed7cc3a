"""Scores of VOT's supervised experiment."""

import logging
from collections.abc import Mapping
from typing import Any

import numpy as np
from mmengine.logging import print_log

from mmvidmae.registry import METRICS
from mmvidmae.structures import regions

from ..functional import vot
from .tracking import TrackingMetric, xywh
from .video_metric import Summary


@METRICS.register_module()
class VOTMetric(TrackingMetric):
    """EAO, accuracy and robustness of a tracker that is initialized again after failures (VOT2015 to VOT2019).

    The metric is for models with ``test_cfg.test_mode='VOT'`` in mmtrack's test loop, which are initialized again five
    frames after a failure. Results, as defined in :mod:`mmvidmae.evaluation.functional.vot`: ``vot/EAO`` and
    ``vot/accuracy`` in per cent, ``vot/robustness`` in failures per 100 frames, and ``vot/failures``. A table lists all
    of them but EAO for each sequence. VOT repeats a run 15 times; a deterministic tracker needs one run.

    Files are those of :class:`TrackingMetric`. VOT's codes replace boxes: 1 for an initialization, 2 for a failure, 0
    for a skipped frame.

    Args:
        out_dir: Folder for the files.
        eao_interval: Smallest and largest sequence length over which EAO averages; by default VOT2018's.
        prefix: Prefix of the results' names instead of ``vot``.
    """

    default_prefix = 'vot'

    def __init__(
        self,
        out_dir: str | None = None,
        eao_interval: tuple[int, int] = vot.EAO_INTERVALS['vot2018'],
        prefix: str | None = None,
    ) -> None:
        super().__init__(out_dir, prefix=prefix)
        self.options = dict(protocol='vot', eao_interval=list(eao_interval))

    def read_frame(self, sample: Mapping[str, Any]) -> dict[str, Any]:
        """Extract state, overlap and box of a frame. A missing box is NaN.

        Raises:
            ValueError: If the first frame is not an initialization.
        """
        box = sample['pred_track_instances']['bboxes'][0].cpu().numpy().astype(np.float64)
        if sample['frame_id'] == 0 and len(box) != 1:
            raise ValueError(f"{sample['img_path']}: the tracker is not restarted: set model.test_cfg.test_mode='VOT'")
        if len(box) == 1:
            return dict(state=np.int64(box[0]), overlap=np.float64(0), pred=np.full(4, np.nan))
        true = np.asarray(sample['instances'][0]['bbox'], np.float64)
        true = true if len(true) == 8 else xywh(true)
        overlap = regions.region_overlap(xywh(box), true, tuple(sample['ori_shape'][1::-1]))
        return dict(state=np.int64(regions.TRACKED), overlap=np.float64(overlap), pred=xywh(box))

    def score_video(self, video: dict[str, np.ndarray]) -> vot.SupervisedRun:
        """Return the run of the tracker on the video."""
        return vot.SupervisedRun(video['overlap'], video['state'])

    def box_lines(self, video: Mapping[str, np.ndarray]) -> str:
        """Format boxes and codes as lines of the video's file."""
        boxes = super().box_lines(video).splitlines()
        lines = [box if state == regions.TRACKED else str(state) for box, state in zip(boxes, video['state'])]
        return '\n'.join(lines) + '\n'

    def summarize(self, videos: dict[str, vot.SupervisedRun]) -> Summary:
        """Compute the scores of all videos. The table lists the videos with most failures first."""
        metrics, interval = _scores(list(videos.values())), self.options['eao_interval']
        eao = vot.expected_average_overlap(list(videos.values()), interval)
        if np.isnan(eao):
            print_log(
                f'EAO is over sequences of {interval[0]} to {interval[1]} frames, and there are none: it is left out',
                'current',
                logging.WARNING,
            )
        else:
            metrics = dict(EAO=100 * eao, **metrics)
        rows = {name: _scores([run]) for name, run in videos.items()}
        rows = dict(sorted(rows.items(), key=lambda row: (-row[1]['failures'], row[1]['accuracy'])))
        return Summary(metrics, dict(per_sequence=rows))


def _scores(runs: list[vot.SupervisedRun]) -> dict[str, float]:
    accuracy, robustness = vot.accuracy_robustness(runs)
    failures = sum(int(np.count_nonzero(run.state == regions.FAILED)) for run in runs)
    return dict(accuracy=100 * accuracy, robustness=robustness, failures=failures)
