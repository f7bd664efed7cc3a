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
from .propagation import PropagationMetric, Summary

PROTOCOLS = ('ope', 'got10k')
SUBMISSIONS = ('got10k', 'trackingnet')
NOTHING_TO_SCORE = 'no video has ground truth beyond its first frame: set out_dir to write the boxes down'
_FRAME_FOLDERS = ('img', 'imgs', 'images', 'frames', 'color', 'colour')


@METRICS.register_module()
class TrackingMetric(PropagationMetric):
    """Scores of a tracker in mmtrack's test loop, where a sample is a frame.

    With ``protocol='ope'`` PyTracking's scores, as DropTrack reports them: success (AUC), ``norm_precision`` at 0.2,
    ``precision`` at 20 pixels, OP50 and OP75, each the mean over videos. With ``'got10k'`` AO, SR50 and SR75 over the
    frames of all videos. In per cent, with a table per sequence. VOT's scores are :class:`VOTMetric`'s.

    What goes to the log and to files, and how ranks work together, says :class:`PropagationMetric`; a rank must get
    whole videos (mmtrack's ``VideoSampler``).

    With ``out_dir`` the boxes of each video go to ``<out_dir>/<video>.txt`` when it ends, ``x,y,w,h`` a frame. Videos
    without ground truth beyond the first frame (GOT-10k test, TrackingNet test) are written and not scored. A video is
    named by its data set, or else by its folder, with as many folders above it as tell it from the others.

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
        self._frames, self._names = [], None

    def process(self, data_batch: Any, data_samples: Sequence[Mapping[str, Any]]) -> None:
        """Take the boxes of frames, and score a video when its last frame has come.

        Raises:
            ValueError: If frames of a video are missing or out of order, boxes cannot be scored, or the data set has
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
                result = dict(
                    folder=os.path.dirname(os.path.abspath(sample['img_path'])),
                    number=sample.get('video_id'),
                    frame_names=len(video['pred']),
                    made={},
                    **video,
                )
                # the whole path until all ranks' videos are known
                result['video_name'] = f'{result["folder"]}:{result["number"]}'
                self._names = self._names or self._new_names()
                name = self._names.add(result['folder'], result['number'])
                if self.out_dir is not None:
                    self._write(name, result)
                try:
                    result['scores'] = self.score_frames(video)
                except ValueError as error:
                    raise ValueError(f'video {name}: {error}') from error
                self.results.append(result)

    def read_frame(self, sample: Mapping[str, Any]) -> dict[str, Any]:
        """What is kept of a frame; no ground truth is NaN.

        Raises:
            ValueError: If there is no box.
        """
        predicted, instance = sample['pred_track_instances'], sample['instances'][0]
        box = predicted['bboxes'][0].cpu().numpy().astype(np.float64)
        if len(box) != 4:
            raise ValueError(
                f"{sample['img_path']}: there is no box: the model tests with test_cfg.test_mode='VOT', which "
                'mmvidmae.VOTMetric scores'
            )
        true = np.asarray(instance['bbox'], np.float64) if 'bbox' in instance else np.full(4, np.nan)
        if len(true) == 8:
            corners = true.reshape(4, 2)
            true = np.concatenate((corners.min(0), corners.max(0)))
        seconds = predicted['seconds'] if 'seconds' in predicted else np.zeros(1)
        return dict(
            pred=xywh(box),
            gt=xywh(true),
            visible=np.bool_(instance.get('visible', True)),
            seconds=np.float64(seconds[0]),
            image_size=np.array(sample['ori_shape'][1::-1]),
        )

    def score_frames(self, video: dict[str, np.ndarray]) -> Any:
        """Score the frames of a video, as :meth:`read_frame` gives them; None if it has no ground truth."""
        pred, gt, visible = video['pred'], video['gt'], video['visible']
        if np.isnan(gt[1:]).all():
            return None
        if self.options['protocol'] == 'got10k':
            seen = visible & ~np.isnan(gt).any(1)
            return tracking.got10k_overlaps(pred, np.nan_to_num(gt), seen, video['image_size'])
        errors = tracking.pytracking_errors(pred, gt, visible if self.options['use_visibility'] else None)
        return tracking.pytracking_curves(errors, self.options['exclude_invalid'])

    def box_lines(self, video: Mapping[str, np.ndarray]) -> str:
        """The boxes of a video as lines of its file."""
        return _rows(video['pred'])

    def _write(self, name: str, video: Mapping[str, np.ndarray]) -> None:
        with atomic_write(self.out_dir / f'{name}.txt') as part:
            part.write_text(self.box_lines(video))

    def _new_names(self) -> '_Names':
        return _Names((self.dataset_meta or {}).get('sequences'), self.numbered)

    def compute_metrics(self, results: list[dict]) -> dict[str, float]:
        """Summarize results of videos, one each, and report them."""
        self._names, names = None, self._new_names()
        results = sorted(results, key=lambda result: (result['number'] or 0, result['folder']))
        return super().compute_metrics(
            [dict(result, video_name=names.add(result['folder'], result['number'])) for result in results]
        )

    def score_video(self, sample: Mapping[str, Any]) -> Any:
        """Not used: samples are frames."""
        raise NotImplementedError

    def num_samples(self, results: list[dict]) -> int:
        """Frames of the videos."""
        return sum(result['frame_names'] for result in results)

    def summarize(self, videos: dict[str, Any]) -> Summary:
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
            raise ValueError(NOTHING_TO_SCORE)
        return Summary({}, {})

    def report(self, results: list[dict], summary: Summary) -> None:
        """Write the log and the files, and pack the submission."""
        super().report(results, summary)
        if not summary.metrics:
            print_log('No video has ground truth beyond its first frame: nothing is scored', 'current', logging.WARNING)
        if self.out_dir is not None:
            for result in results:  # another rank may have had a video of the same name
                self._write(result['video_name'], result)
            print_log(f'Boxes of {len(results)} videos are in {self.out_dir}', 'current')
        if self.submission:
            path = self.out_dir / f'{self.prefix}_submission.zip'
            _pack(path, results, self.submission)
            print_log(f'Packed for the {self.submission} server: {path}', 'current')


class _Names:
    """Gives each video a name of its own: that of its data set, or the last parts of the path of its folder.

    Args:
        sequences: Names by number of video, if the data set has them.
        numbered: Whether the number always follows the name.
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
    """(x, y, w, h) of (x1, y1, x2, y2)."""
    return np.concatenate((box[:2], box[2:] - box[:2]))


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


def _pack(path: Path, results: list[dict], server: str) -> None:
    """GOT-10k: ``<video>/<video>_001.txt`` and ``<video>_time.txt`` with seconds; TrackingNet: ``<video>.txt``."""
    with atomic_write(path) as part, zipfile.ZipFile(part, 'w', zipfile.ZIP_DEFLATED) as archive:
        for result in results:
            name = result['video_name']
            if server == 'trackingnet':
                archive.writestr(f'{name}.txt', _rows(result['pred']))
            else:
                archive.writestr(os.path.join(name, f'{name}_001.txt'), _rows(result['pred']))
                archive.writestr(os.path.join(name, f'{name}_time.txt'), _rows(result['seconds']))
