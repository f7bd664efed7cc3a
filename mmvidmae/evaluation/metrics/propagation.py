"""What the metrics of label propagation have in common: ranks, files, tables, and how a number was made."""

import csv
import json
import logging
import math
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from mmengine.dist import all_gather_object, is_main_process
from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log

from mmvidmae.utils.files import atomic_write

from .prediction_writer import SUBMISSION_FOLDERS, PredictionWriter

Table = dict[str, dict[str, float | int | None]]
"""Named rows of named columns; all rows have the same columns, None is a value that does not exist."""


class Summary(NamedTuple):
    """Scores of a dataset.

    Attributes:
        metrics: The dataset's scores, in per cent.
        tables: Scores of its parts, in per cent, by the table's name; ``per_sequence`` is one of them.
    """

    metrics: dict[str, float]
    tables: dict[str, Table]


class PropagationMetric(BaseMetric):
    """Base of metrics whose samples are whole videos.

    A video is scored as it comes and only its scores are kept. All ranks' scores are put together by the videos' names,
    so that a video that a sampler repeats counts once and the result is that of one process. Scores go to the log, and
    with ``out_dir`` to ``<out_dir>/<prefix>_scores.json`` and to ``<out_dir>/<prefix>_<table>.csv`` for each table. The
    JSON file also says how the numbers were made: the weights (see :class:`WeightsRecordHook`), the protocol and the
    input size of the samples and the options of the metric; videos that were not made in the same way are refused.

    Args:
        out_dir: Folder for the files. In a run, a relative one lies in the work dir.
        prefix: Prefix of the results' names.
        options: Options of the subclass that change its scores.
    """

    def __init__(self, out_dir: str | None, prefix: str | None, **options: Any) -> None:
        super().__init__(prefix=prefix)
        self.out_dir = None if out_dir is None else Path(out_dir)
        self.options = options
        self.weights: str | dict | None = None

    def start(self, work_dir: str | Path, weights: str | dict) -> None:
        """Take up the work of a run.

        Args:
            work_dir: Where a relative ``out_dir`` lies from now on.
            weights: What is scored, for the score file: see :mod:`mmvidmae.engine.hooks.weights_record_hook`.
        """
        if self.out_dir is not None:
            self.out_dir = Path(work_dir).absolute() / self.out_dir
        self.weights = weights

    @abstractmethod
    def score_video(self, sample: Mapping[str, Any]) -> Any:
        """Score a video: any picklable value, or None if it has no ground truth."""

    @abstractmethod
    def summarize(self, videos: dict[str, Any]) -> Summary:
        """Scores of a dataset from those of its videos by name, at least one of them."""

    def process(self, data_batch: Any, data_samples: Sequence[Mapping[str, Any]]) -> None:
        """Score videos.

        Raises:
            ValueError: If a prediction does not fit its ground truth; the message names the video.
        """
        for sample in data_samples:
            try:
                scores = self.score_video(sample)
            except ValueError as error:
                raise ValueError(f'video {sample["video_name"]}: {error}') from error
            self.results.append(
                dict(
                    video_name=sample['video_name'],
                    frame_names=sample['frame_names'],
                    made=dict(input_size=sample.get('input_size'), protocol=sample.get('protocol')),
                    scores=scores,
                )
            )

    def evaluate(self, size: int) -> dict[str, float]:
        """Put the scores of all ranks together, and write them down on the first rank.

        Every rank computes the same, so that all of them stop if something is wrong.

        Args:
            size: Number of videos in the dataset.

        Raises:
            ValueError: If results are missing or were not made in the same way, or there is nothing to score.
        """
        results = [result for part in all_gather_object(self.results) for result in part]
        self.results = []
        by_name = {result['video_name']: result for result in results}
        found = self.num_samples(list(by_name.values()))
        if found != size:
            raise ValueError(
                f'{type(self).__name__} has results of {found} {self.samples}, but the dataset has {size}: every video '
                'must be processed before evaluate() and have a name of its own'
            )
        metrics = self.compute_metrics([by_name[name] for name in sorted(by_name)])
        return {f'{self.prefix}/{name}': value for name, value in metrics.items()}

    samples = 'videos'

    def num_samples(self, results: list[dict]) -> int:
        """How many samples of the dataset the results of videos stand for."""
        return len(results)

    def compute_metrics(self, results: list[dict]) -> dict[str, float]:
        """Summarize results of videos, one each, and report them."""
        if not results:
            raise ValueError(f'{type(self).__name__} has nothing to evaluate: the dataset has no videos')
        _check_same_making(results)
        scored = {result['video_name']: result['scores'] for result in results if result['scores'] is not None}
        summary = self.summarize(scored) if scored else self.without_scores()
        if is_main_process():
            self.report(results, summary)
        return summary.metrics

    def without_scores(self) -> Summary:
        """What to do if no video has ground truth.

        Raises:
            ValueError: Unless a subclass knows better.
        """
        raise ValueError(f'{type(self).__name__}: no video has ground truth to be scored with')

    def report(self, results: list[dict], summary: Summary) -> None:
        """Write the log and the files, on the first rank."""
        made = dict(weights=self.weights, **results[0]['made'], options=self.options)
        not_scored = [result['video_name'] for result in results if result['scores'] is None]
        if not_scored and summary.metrics:
            print_log(
                f'{len(not_scored)} of {len(results)} videos have no ground truth and do not count: '
                f'{", ".join(not_scored[:20])}',
                'current',
                logging.WARNING,
            )
        text = [f'{self.prefix}: {len(results) - len(not_scored)} videos scored, made with {json.dumps(made)}']
        text += [format_table(name, table) for name, table in summary.tables.items()]
        print_log('\n'.join(text), 'current')
        if self.out_dir is None:
            return
        content = dict(
            metric=type(self).__name__, **made, scores=summary.metrics, **summary.tables, not_scored=not_scored
        )
        path = self.out_dir / f'{self.prefix}_scores.json'
        self._warn_of_others(path)
        with atomic_write(path) as part:
            part.write_text(json.dumps(content, indent=2, allow_nan=False) + '\n')
        for name, table in summary.tables.items():
            with atomic_write(self.out_dir / f'{self.prefix}_{name}.csv') as part, part.open('w', newline='') as file:
                csv.writer(file, lineterminator='\n').writerows(_table_lines(name, table))

    def _warn_of_others(self, path: Path) -> None:
        """Say in the log that the scores of other weights are about to be replaced."""
        try:
            before = json.loads(path.read_text()).get('weights')
        except (OSError, ValueError, AttributeError):
            return
        if before != self.weights:
            print_log(
                f'{path} had the scores of other weights, {json.dumps(before)}, and is replaced: give each test a '
                '--work-dir of its own to keep them all',
                'current',
                logging.WARNING,
            )

    def names(self, key: str, count: int) -> list[str]:
        """Names of classes or joints by the dataset's ``METAINFO[key]``, or else their numbers.

        Raises:
            ValueError: If the dataset has another number of them.
        """
        names = (self.dataset_meta or {}).get(key)
        if names is None:
            return [str(index) for index in range(count)]
        if len(names) != count:
            raise ValueError(f'the dataset names {len(names)} {key}, but {count} were scored')
        return list(names)


class MaskPropagationMetric(PropagationMetric):
    """Base of metrics that score and write ``pred_masks``.

    Args:
        out_dir: Folder for the files, and for the masks: ``<out_dir>/<video>/<frame>.png``, written as the videos come.
        format_only: Whether to write masks without scoring them, for data without ground truth.
        submission: Server to pack the masks for in ``<out_dir>/<prefix>_submission.zip``, ``'davis'`` or
            ``'youtube_vos'``; or None.
        prefix: Prefix of the results' names.
        options: Options of the subclass that change its scores.

    Raises:
        ValueError: If there is nowhere to write to, or no such server.
    """

    def __init__(
        self, out_dir: str | None, format_only: bool, submission: str | None, prefix: str | None, **options: Any
    ) -> None:
        super().__init__(out_dir, prefix, **options)
        if submission is not None and submission not in SUBMISSION_FOLDERS:
            raise ValueError(
                f'submission={submission!r} is no known server: choose from {", ".join(SUBMISSION_FOLDERS)}'
            )
        if out_dir is None and (format_only or submission):
            raise ValueError('format_only and submission write masks: say where to with out_dir')
        self.format_only = format_only
        self.submission = submission

    @property
    def writer(self) -> PredictionWriter | None:
        """Writes to ``out_dir``."""
        return None if self.out_dir is None else PredictionWriter(self.out_dir)

    @abstractmethod
    def score_masks(self, sample: Mapping[str, Any], masks: np.ndarray, frames: list[int]) -> Any:
        """Score the masks ``(T, H, W)`` of a video in these frames, which have ground truth; any picklable value."""

    def read_masks(self, sample: Mapping[str, Any]) -> np.ndarray:
        """The predicted masks ``(T, H, W)``, uint8, as they are to be written."""
        masks = np.asarray(sample['pred_masks'])
        if masks.ndim != 3 or len(masks) != len(sample['frame_names']) or masks.dtype != np.uint8:
            raise ValueError(
                f'pred_masks must be uint8 (T, H, W) with one mask for each of {len(sample["frame_names"])} frames, '
                f'not {masks.dtype} {masks.shape}'
            )
        return masks

    def score_video(self, sample: Mapping[str, Any]) -> Any:
        """Write the masks of a video and score them; None if only what was given has ground truth."""
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
        """No scores with ``format_only``."""
        if self.format_only:
            return Summary({}, {})
        raise ValueError(
            f'{type(self).__name__}: no video has ground truth beyond what is given; set format_only=True and an '
            'out_dir to write the predictions of such data'
        )

    def report(self, results: list[dict], summary: Summary) -> None:
        """Write the log and the files, and pack the submission."""
        super().report(results, summary)
        if self.out_dir is not None:
            print_log(f'Masks of {len(results)} videos are in {self.out_dir}', 'current')
        if self.submission:
            path = self.out_dir / f'{self.prefix}_submission.zip'
            frames = {result['video_name']: result['frame_names'] for result in results}
            self.writer.pack(path, frames, self.submission)
            print_log(f'Packed for the {self.submission} server: {path}', 'current')


def percent(value: float) -> float | None:
    """A share in per cent, None for NaN."""
    return None if math.isnan(value) else 100 * float(value)


def format_table(name: str, table: Table) -> str:
    """Lay a table out as aligned text."""
    lines = [[_text(cell) for cell in line] for line in _table_lines(name, table)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    return '\n'.join(
        '  '.join([line[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(line[1:], widths[1:]))])
        for line in lines
    )


def _table_lines(name: str, table: Table) -> list[list]:
    header = [name.removeprefix('per_'), *next(iter(table.values()))]
    return [header, *([row, *columns.values()] for row, columns in table.items())]


def _text(cell: Any) -> str:
    if cell is None:
        return '-'
    return f'{cell:.2f}' if isinstance(cell, float) else str(cell)


def _size(shape: Sequence[int]) -> str:
    return 'x'.join(map(str, shape))


def _check_same_making(results: list[dict]) -> None:
    first = results[0]
    for result in results:
        if json.dumps(result['made'], sort_keys=True) != json.dumps(first['made'], sort_keys=True):
            raise ValueError(
                f'videos were not made in the same way, so that their mean says nothing: {first["video_name"]} with '
                f'{json.dumps(first["made"])}, {result["video_name"]} with {json.dumps(result["made"])}'
            )
