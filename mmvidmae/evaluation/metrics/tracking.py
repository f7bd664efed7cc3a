"""Success, precision and average overlap of single-object tracking, result files and submissions."""

import logging
import os
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.logging import print_log

from mmvidmae.registry import METRICS
from mmvidmae.utils.files import whole_file

from ..functional import tracking
from .propagation import PropagationMetric, Summary

PROTOCOLS = ('ope', 'got10k')
SUBMISSIONS = ('got10k', 'trackingnet')
_FRAME_FOLDERS = ('img', 'imgs', 'color', 'colour')


@METRICS.register_module()
class TrackingMetric(PropagationMetric):
    """Scores of a tracker in mmtrack's test loop, where a sample is a frame.

    With ``protocol='ope'`` PyTracking's scores, as DropTrack reports them: success (AUC), ``norm_precision`` at 0.2,
    ``precision`` at 20 pixels, OP50 and OP75, each the mean over videos. With ``'got10k'`` AO, SR50 and SR75 over the
    frames of all videos. In per cent, with a table per sequence. What goes to the log and to files, and how ranks work
    together, says :class:`PropagationMetric`; a rank must get whole videos (mmtrack's ``VideoSampler``).

    With ``out_dir`` the boxes of each video go to ``<out_dir>/<video>.txt`` when it ends, ``x,y,w,h`` a frame. Videos
    without ground truth beyond the first frame (GOT-10k test, TrackingNet test) are written and not scored.

    Args:
        out_dir: Folder for the files.
        protocol: ``'ope'`` or ``'got10k'``.
        use_visibility: For ``'ope'``: whether the annotations' visibility counts, as for LaSOT.
        exclude_invalid: For ``'ope'``: whether frames without a visible target are left out, instead of being failures.
        numbered: Whether a video's number follows its name: for data sets with several targets in a folder of frames,
            as OTB100 and UAV123 have them.
        submission: Server to pack the boxes for in ``<out_dir>/sot_submission.zip``, ``'got10k'`` or ``'trackingnet'``;
            or None.
        prefix: Prefix of the results' names instead of ``sot``.

    Raises:
        ValueError: If an option is unknown, or there is nowhere to write a submission to.
    """

    default_prefix = 'sot'
    samples = 'frames'

    def __init__(
        self,
        out_dir: str | None = None,
        protocol: str = 'ope',
        use_visibility: bool = False,
        exclude_invalid: bool = False,
        numbered: bool = False,
        submission: str | None = None,
        prefix: str | None = None,
    ) -> None:
        options = dict(protocol=protocol, use_visibility=use_visibility, exclude_invalid=exclude_invalid)
        super().__init__(out_dir, prefix, **options)
        if protocol not in PROTOCOLS:
            raise ValueError(f'protocol must be one of {", ".join(PROTOCOLS)}, got {protocol!r}')
        if submission is not None and submission not in SUBMISSIONS:
            raise ValueError(f'submission={submission!r} is no known server: choose from {", ".join(SUBMISSIONS)}')
        if submission and out_dir is None:
            raise ValueError('a submission is written: say where to with out_dir')
        self.numbered = numbered
        self.submission = submission
        self._frames = []

    def process(self, data_batch: Any, data_samples: Sequence[Mapping[str, Any]]) -> None:
        """Take the boxes of frames, and score a video when its last frame has come.

        Raises:
            ValueError: If frames of a video are missing or out of order, or boxes cannot be scored.
        """
        for sample in data_samples:
            if sample['frame_id'] != len(self._frames):
                raise ValueError(
                    f'{sample["img_path"]}: frame {sample["frame_id"]} came where frame {len(self._frames)} of its '
                    'video was expected: use mmtrack.VideoSampler, which keeps videos whole and in order'
                )
            self._frames.append(_frame(sample))
            if sample['frame_id'] == sample['video_length'] - 1:
                video = {name: np.stack([frame[name] for frame in self._frames]) for name in self._frames[0]}
                self._frames = []
                name = _video_name(sample['img_path']) + (f'-{sample["video_id"]}' if self.numbered else '')
                scores = self._score(name, video, tuple(sample['ori_shape'][1::-1]))
                self.results.append(
                    dict(video_name=name, frame_names=len(video['pred']), made={}, scores=scores, **video)
                )
                if self.out_dir is not None:
                    _write_rows(self.out_dir / f'{name}.txt', video['pred'])

    def _score(self, name: str, video: dict[str, np.ndarray], image_size: tuple[int, int]) -> Any:
        pred, gt, visible = video['pred'], video['gt'], video['visible']
        if np.isnan(gt[1:]).all():
            return None
        try:
            if self.options['protocol'] == 'got10k':
                return tracking.got10k_overlaps(pred, np.nan_to_num(gt), visible & ~np.isnan(gt).any(1), image_size)
            errors = tracking.pytracking_errors(pred, gt, visible if self.options['use_visibility'] else None)
            return tracking.pytracking_curves(errors, self.options['exclude_invalid'])
        except ValueError as error:
            raise ValueError(f'video {name}: {error}') from error

    def score_video(self, sample: Mapping[str, Any]) -> Any:
        """Not used: samples are frames."""
        raise NotImplementedError

    def num_samples(self, results: list[dict]) -> int:
        """Frames of the videos."""
        return sum(result['frame_names'] for result in results)

    def summarise(self, videos: dict[str, Any]) -> Summary:
        """Scores of all videos; the table has the worst first."""
        if self.options['protocol'] == 'got10k':
            rows = {name: _got10k(overlap) for name, overlap in videos.items() if len(overlap)}
            metrics = _got10k(np.concatenate(list(videos.values())))
        else:
            rows = {name: _ope(curves) for name, curves in videos.items()}
            metrics = _ope(tracking.Curves.mean(list(videos.values())))
        first = next(iter(metrics))
        return Summary(metrics, dict(per_sequence=dict(sorted(rows.items(), key=lambda row: row[1][first]))))

    def without_scores(self) -> Summary:
        """No scores: the boxes are for a server."""
        if self.out_dir is None:
            raise ValueError('no video has ground truth beyond its first frame: set out_dir to write the boxes down')
        return Summary({}, {})

    def report(self, results: list[dict], summary: Summary) -> None:
        """Write the log and the files, and pack the submission."""
        super().report(results, summary)
        if not summary.metrics:
            print_log('No video has ground truth beyond its first frame: nothing is scored', 'current', logging.WARNING)
        if self.out_dir is not None:
            print_log(f'Boxes of {len(results)} videos are in {self.out_dir}', 'current')
        if self.submission:
            path = self.out_dir / f'{self.prefix}_submission.zip'
            _pack(path, results, self.submission)
            print_log(f'Packed for the {self.submission} server: {path}', 'current')


def _frame(sample: Mapping[str, Any]) -> dict[str, Any]:
    """What is kept of a frame; no ground truth is NaN."""
    predicted, instance = sample['pred_track_instances'], sample['instances'][0]
    true = np.asarray(instance['bbox'], np.float64) if 'bbox' in instance else np.full(4, np.nan)
    if len(true) == 8:
        corners = true.reshape(4, 2)
        true = np.concatenate((corners.min(0), corners.max(0)))
    seconds = predicted['seconds'] if 'seconds' in predicted else np.zeros(1)
    return dict(
        pred=_xywh(predicted['bboxes'][0].cpu().numpy().astype(np.float64)),
        gt=_xywh(true),
        visible=np.bool_(instance.get('visible', True)),
        seconds=np.float64(seconds[0]),
    )


def _xywh(box: np.ndarray) -> np.ndarray:
    return np.concatenate((box[:2], box[2:] - box[:2]))


def _video_name(path: str) -> str:
    """Name of a video by a frame's path, whose folder is the video or lies in it."""
    *_, outer, folder, _ = Path(path).absolute().parts
    return outer if folder in _FRAME_FOLDERS else folder


def _ope(curves: tracking.Curves) -> dict[str, float]:
    values = dict(
        success=curves.auc,
        norm_precision=curves.norm_precision20,
        precision=curves.precision20,
        OP50=curves.success_at(0.5),
        OP75=curves.success_at(0.75),
    )
    return {name: 100 * value for name, value in values.items()}


def _got10k(overlap: np.ndarray) -> dict[str, float]:
    return dict(
        AO=100 * float(overlap.mean()),
        SR50=100 * float((overlap > 0.5).mean()),
        SR75=100 * float((overlap > 0.75).mean()),
    )


def _rows(values: np.ndarray) -> str:
    return ''.join(','.join(f'{value:.4f}' for value in np.atleast_1d(row)) + '\n' for row in values)


def _write_rows(path: Path, values: np.ndarray) -> None:
    with whole_file(path) as part:
        part.write_text(_rows(values))


def _pack(path: Path, results: list[dict], server: str) -> None:
    """GOT-10k: ``<video>/<video>_001.txt`` and ``<video>_time.txt`` with seconds; TrackingNet: ``<video>.txt``."""
    with whole_file(path) as part, zipfile.ZipFile(part, 'w', zipfile.ZIP_DEFLATED) as archive:
        for result in results:
            name = result['video_name']
            if server == 'trackingnet':
                archive.writestr(f'{name}.txt', _rows(result['pred']))
            else:
                archive.writestr(os.path.join(name, f'{name}_001.txt'), _rows(result['pred']))
                archive.writestr(os.path.join(name, f'{name}_time.txt'), _rows(result['seconds']))
