"""Scores of single-object tracking (OPE, GOT-10k), result files and submissions."""

import logging
import os
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.logging import print_log

from mmvidmae.registry import METRICS
from mmvidmae.utils.files import atomic_write

from ..functional import tracking
from .video_metric import Summary, VideoMetric

PROTOCOLS = ('ope', 'got10k', 'lasher', 'rgbt234')
NOTHING_TO_SCORE = 'no video has ground truth beyond its first frame: set out_dir to write the boxes down'
_FRAME_FOLDERS = ('img', 'imgs', 'images', 'frames', 'color', 'colour')


@METRICS.register_module()
class TrackingMetric(VideoMetric):
    """Scores of a tracker in mmtrack's test loop, where a sample is a frame.

    ``protocol='ope'`` gives PyTracking's scores, as DropTrack reports them: success (AUC), ``norm_precision`` at 0.2,
    ``precision`` at 20 pixels, OP50 and OP75, each the mean over videos. ``protocol='got10k'`` gives AO, SR50 and SR75
    over the frames of all videos. ``protocol='lasher'`` gives PR at 20 pixels, NPR at 0.2 and SR of LasHeR's toolkit,
    ``protocol='rgbt234'`` MPR and MSR of RGBT234's, each the mean over videos; for the latter, instances have a second
    box ``thermal_bbox``. All scores are in per cent, with a table per sequence, and one per attribute if the dataset
    knows its sequences' attributes. For VOT, use :class:`VOTMetric`.

    See :class:`VideoMetric` for logging, output files and distributed behavior. Each rank must get whole videos
    (mmtrack's ``VideoSampler``).

    With ``out_dir``, the boxes of each video are written to ``<out_dir>/<video>.txt`` when it ends, one line
    ``x,y,w,h`` per frame. Videos without ground truth beyond the first frame (GOT-10k test, TrackingNet test) are
    written but not scored. The name of a video comes from its dataset. Otherwise it is its folder, with as many parent
    folders as needed for a unique name.

    Args:
        out_dir: Folder for the files.
        protocol: ``'ope'``, ``'got10k'``, ``'lasher'`` or ``'rgbt234'``.
        use_visibility: For ``'ope'``: whether to use the annotated visibility, as for LaSOT.
        exclude_invalid: For ``'ope'``: whether to exclude frames without a visible target, instead of counting them as
            failures.
        numbered: Whether to append a video's number to its name. This is for datasets with several targets in a folder
            of frames, such as OTB100 and UAV123.
        submission: Server for which to pack the boxes into ``<out_dir>/sot_submission.zip``: ``'got10k'``,
            ``'trackingnet'`` or None.
        prefix: Prefix of the results' names instead of ``sot``.

    Raises:
        ValueError: If an option is unknown, or a submission is requested without ``out_dir``.
    """

    default_prefix = 'sot'
    samples = 'frames'
    predictions = 'Boxes'
    servers = ('got10k', 'trackingnet')

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
        super().__init__(out_dir, prefix, submission, **options)
        if protocol not in PROTOCOLS:
            raise ValueError(f'protocol must be one of {", ".join(PROTOCOLS)}, got {protocol!r}')
        self.numbered = numbered
        self._frames, self._names = [], None

    def process(self, data_batch: Any, data_samples: Sequence[Mapping[str, Any]]) -> None:
        """Collect the boxes of frames, and score a video after its last frame.

        Raises:
            ValueError: If frames of a video are missing or out of order, boxes cannot be scored, or the dataset has
                nothing to score and there is no ``out_dir``.
        """
        if self.out_dir is None and not (self.dataset_meta or {}).get('has_ground_truth', True):
            raise ValueError(NOTHING_TO_SCORE)
        for sample in data_samples:
            if sample['frame_id'] != len(self._frames):
                raise ValueError(
                    f'{sample["img_path"]}: frame {sample["frame_id"]} came where frame {len(self._frames)} of its '
                    'video was expected: use mmtrack.VideoSampler, which keeps videos whole and in order'
                )
            self._frames.append(self.read_frame(sample))
            if sample['frame_id'] == sample['video_length'] - 1:
                video = {name: np.stack([frame[name] for frame in self._frames]) for name in self._frames[0]}
                self._frames = []
                folder, number = os.path.dirname(os.path.abspath(sample['img_path'])), sample.get('video_id')
                self._names = self._names or self._new_names()
                name = self._names.add(folder, number)
                if self.out_dir is not None:
                    self._write(name, video)
                # full path until the videos of all ranks are known
                place = dict(video_name=f'{folder}:{number}', folder=folder, number=number)
                self.add_video(name, video, len(video['pred']), **place, **video)

    def read_frame(self, sample: Mapping[str, Any]) -> dict[str, Any]:
        """Extract the data of a frame that are scored. Missing ground truth is NaN.

        Raises:
            ValueError: If there is no predicted box, or no second true box for RGBT234.
        """
        predicted, instance = sample['pred_track_instances'], sample['instances'][0]
        box = predicted['bboxes'][0].cpu().numpy().astype(np.float64)
        if len(box) != 4:
            raise ValueError(
                f"{sample['img_path']}: there is no box: the model tests with test_cfg.test_mode='VOT', which "
                'mmvidmae.VOTMetric scores'
            )
        truths = dict(gt=_upright(instance.get('bbox')))
        if self.options['protocol'] == 'rgbt234':
            if 'thermal_bbox' not in instance:
                raise ValueError(
                    f"{sample['img_path']}: protocol='rgbt234' needs the box in the thermal frame, but the "
                    'instance has no thermal_bbox'
                )
            truths['thermal_gt'] = _upright(instance['thermal_bbox'])
        seconds = predicted['seconds'] if 'seconds' in predicted else np.zeros(1)
        return dict(
            pred=xywh(box),
            **truths,
            visible=np.bool_(instance.get('visible', True)),
            seconds=np.float64(seconds[0]),
            image_size=np.array(sample['ori_shape'][1::-1]),
        )

    def score_video(self, video: dict[str, np.ndarray]) -> Any:
        """Score the frames of a video, as given by :meth:`read_frame`. Returns None if it has no ground truth."""
        pred, gt, visible = video['pred'], video['gt'], video['visible']
        if np.isnan(gt[1:]).all():
            return None
        if self.options['protocol'] == 'got10k':
            seen = visible & ~np.isnan(gt).any(1)
            return tracking.got10k_overlaps(pred, np.nan_to_num(gt), seen, video['image_size'])
        if self.options['protocol'] == 'lasher':
            return tracking.lasher_curves(pred, gt)
        if self.options['protocol'] == 'rgbt234':
            return tracking.rgbt234_curves(pred, gt, video['thermal_gt'])
        errors = tracking.pytracking_errors(pred, gt, visible if self.options['use_visibility'] else None)
        return tracking.pytracking_curves(errors, self.options['exclude_invalid'])

    def box_lines(self, video: Mapping[str, np.ndarray]) -> str:
        """Format the boxes of a video as lines of its file."""
        return _rows(video['pred'])

    def _write(self, name: str, video: Mapping[str, np.ndarray]) -> None:
        with atomic_write(self.out_dir / f'{name}.txt') as part:
            part.write_text(self.box_lines(video))

    def _new_names(self) -> '_Names':
        return _Names((self.dataset_meta or {}).get('sequences'), self.numbered)

    def compute_metrics(self, results: list[dict]) -> dict[str, float]:
        """Summarize and report the results of videos, one result per video."""
        self._names, names = None, self._new_names()
        results = sorted(results, key=lambda result: (result['number'] or 0, result['folder']))
        return super().compute_metrics(
            [dict(result, video_name=names.add(result['folder'], result['number'])) for result in results]
        )

    def summarize(self, videos: dict[str, Any]) -> Summary:
        """Compute the scores of all videos. The table lists the worst video first."""
        if self.options['protocol'] == 'got10k':
            rows = {name: _got10k(overlap) for name, overlap in videos.items() if len(overlap)}
            metrics = _got10k(np.concatenate(list(videos.values())))
        else:
            score = dict(ope=_ope, lasher=_lasher, rgbt234=_rgbt234)[self.options['protocol']]
            rows = {name: score(curves) for name, curves in videos.items()}
            metrics = score(tracking.Curves.mean(list(videos.values())))
        first = next(iter(metrics))
        tables = dict(per_sequence=dict(sorted(rows.items(), key=lambda row: row[1][first])))
        if attributes := (self.dataset_meta or {}).get('attributes'):
            tables['per_attribute'] = {
                attribute: dict(videos=len(having), **_mean([rows[name] for name in having]))
                for attribute, names in attributes.items()
                if (having := [name for name in names if name in rows])
            }
        return Summary(metrics, tables)

    def without_scores(self) -> Summary:
        """Return empty scores, since the boxes are for a server."""
        if self.out_dir is None:
            raise ValueError(NOTHING_TO_SCORE)
        return Summary({}, {})

    def report(self, results: list[dict], summary: Summary) -> None:
        """Write the log and the files."""
        super().report(results, summary)
        if not summary.metrics:
            print_log('No video has ground truth beyond its first frame: nothing is scored', 'current', logging.WARNING)

    def write_predictions(self, results: list[dict]) -> None:
        """Write the boxes of all videos, since another rank may have a video of the same name."""
        for result in results:
            self._write(result['video_name'], result)

    def pack(self, path: Path, results: list[dict]) -> None:
        """Pack the boxes of all videos. GOT-10k: ``<video>/<video>_001.txt`` and ``<video>_time.txt`` with seconds.
        TrackingNet: ``<video>.txt``."""
        with atomic_write(path) as part, zipfile.ZipFile(part, 'w', zipfile.ZIP_DEFLATED) as archive:
            for result in results:
                name = result['video_name']
                if self.submission == 'trackingnet':
                    archive.writestr(f'{name}.txt', _rows(result['pred']))
                else:
                    archive.writestr(os.path.join(name, f'{name}_001.txt'), _rows(result['pred']))
                    archive.writestr(os.path.join(name, f'{name}_time.txt'), _rows(result['seconds']))


class _Names:
    """Assigns a unique name to each video: that of its dataset, or the last parts of the path of its folder.

    Args:
        sequences: Names by video number, if the dataset has them.
        numbered: Whether to append the video number to every name.
    """

    def __init__(self, sequences: Sequence[str] | None, numbered: bool) -> None:
        self.sequences, self.numbered = sequences, numbered
        self.names, self.folders = set(), set()

    def add(self, folder: str, number: int | None) -> str:
        """Name a video whose frames are in ``folder``."""
        parts = Path(folder).parts
        parts = parts[:-1] if parts[-1] in _FRAME_FOLDERS else parts
        candidates = ['/'.join(parts[first:]) for first in range(len(parts) - 1, 0, -1)]
        if self.sequences is not None and number is not None:
            candidates = [self.sequences[number]]
        if self.numbered or (folder in self.folders and number is not None):
            candidates = [f'{candidate}-{number}' for candidate in candidates]
        name = next((candidate for candidate in candidates if candidate not in self.names), candidates[-1])
        self.names.add(name)
        self.folders.add(folder)
        return name


def xywh(box: np.ndarray) -> np.ndarray:
    """Convert (x1, y1, x2, y2) to (x, y, w, h)."""
    return np.concatenate((box[:2], box[2:] - box[:2]))


def _upright(box: np.ndarray | None) -> np.ndarray:
    """Upright box (x, y, w, h) of (x1, y1, x2, y2) or four corners, NaN without ground truth."""
    if box is None:
        return np.full(4, np.nan)
    true = np.asarray(box, np.float64)
    if len(true) == 8:
        corners = true.reshape(4, 2)
        true = np.concatenate((corners.min(0), corners.max(0)))
    return xywh(true)


def _mean(rows: Sequence[dict[str, float]]) -> dict[str, float]:
    return {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}


def _lasher(curves: tracking.Curves) -> dict[str, float]:
    return dict(PR=100 * curves.precision20, NPR=100 * curves.norm_precision20, SR=100 * curves.auc)


def _rgbt234(curves: tracking.Curves) -> dict[str, float]:
    return dict(MPR=100 * curves.precision20, MSR=100 * curves.auc)


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
