"""Base class of metrics for whole videos: distributed behavior, output files, tables and evaluation settings."""

import csv
import json
import logging
import math
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from mmengine.dist import all_gather_object, is_main_process
from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log

from mmvidmae.utils.files import atomic_write

Table = dict[str, dict[str, float | int | None]]
"""Table with named rows and columns. All rows have the same columns. None is a missing value."""


class Summary(NamedTuple):
    """Scores of a dataset.

    Attributes:
        metrics: Scores of the dataset, in per cent.
        tables: Tables with scores of parts of the dataset, in per cent, by name. One is ``per_sequence``.
    """

    metrics: dict[str, float]
    tables: dict[str, Table]


class VideoMetric(BaseMetric):
    """Base class of metrics that score whole videos.

    A subclass passes each video to :meth:`add_video`, which scores it at once and keeps only its scores. Scores of all
    ranks are merged by video name: a video that a sampler repeats counts once, and the result equals that of a single
    process.

    Scores are logged. With ``out_dir`` they are also written to ``<out_dir>/<prefix>_scores.json`` and, for each table,
    to ``<out_dir>/<prefix>_<table>.csv``. The JSON file also records the settings: the weights (see
    :class:`WeightsRecordHook`), those of the videos (protocol and input size of propagation), and the options of the
    metric. Videos with different settings are an error.

    Args:
        out_dir: Folder for the files. In a run, a relative path is below the work dir.
        prefix: Prefix of the results' names.
        submission: Server for which to pack the predictions into ``<out_dir>/<prefix>_submission.zip``: one of the
            subclass's ``servers``, or None.
        options: Options of the subclass that change its scores.

    Raises:
        ValueError: If the server is unknown, or a submission is requested without ``out_dir``.
    """

    servers: Sequence[str] = ()
    predictions: str | None = None
    """What the subclass writes to ``out_dir`` beside the scores."""
    samples = 'videos'
    """What a sample of the dataset is."""

    def __init__(self, out_dir: str | None, prefix: str | None, submission: str | None = None, **options: Any) -> None:
        super().__init__(prefix=prefix)
        if submission is not None and submission not in self.servers:
            raise ValueError(f'submission={submission!r} is no known server: choose from {", ".join(self.servers)}')
        if submission and out_dir is None:
            raise ValueError('submission writes a file: set out_dir')
        self.out_dir = None if out_dir is None else Path(out_dir)
        self.submission = submission
        self.options = options
        self.weights: str | dict | None = None

    def start(self, work_dir: str | Path, weights: str | dict) -> None:
        """Prepare for a run.

        Args:
            work_dir: Parent folder of a relative ``out_dir``.
            weights: Description of the evaluated weights for the score file, see
                :mod:`mmvidmae.engine.hooks.weights_record_hook`.
        """
        if self.out_dir is not None:
            self.out_dir = Path(work_dir).absolute() / self.out_dir
        self.weights = weights

    @abstractmethod
    def score_video(self, video: Mapping[str, Any]) -> Any:
        """Score a video. Returns any picklable value, or None if the video has no ground truth."""

    @abstractmethod
    def summarize(self, videos: dict[str, Any]) -> Summary:
        """Compute the scores of a dataset from the scores of its videos by name. There is at least one video."""

    def without_scores(self) -> Summary:
        """Handle the case that no video has ground truth.

        Raises:
            ValueError: Unless a subclass overrides this method.
        """
        raise ValueError(f'{type(self).__name__}: no video has ground truth to be scored with')

    def write_predictions(self, results: list[dict]) -> None:
        """Write the predictions that are not written yet to ``out_dir``, on the first rank."""

    def pack(self, path: Path, results: list[dict]) -> None:
        """Pack the predictions into a submission, on the first rank."""
        raise NotImplementedError

    def process(self, data_batch: Any, data_samples: Sequence[Mapping[str, Any]]) -> None:
        """Score samples that are videos, as of label propagation.

        Raises:
            ValueError: If a prediction does not match its ground truth. The message names the video.
        """
        for sample in data_samples:
            self.add_video(
                sample['video_name'],
                sample,
                frame_names=sample['frame_names'],
                settings=dict(input_size=sample.get('input_size'), protocol=sample.get('protocol')),
            )

    def add_video(self, name: str, video: Mapping[str, Any], num_samples: int = 1, **record: Any) -> None:
        """Score a video and keep the result.

        Args:
            name: Name of the video for errors and, unless ``record`` has another ``video_name``, for the results.
            video: What :meth:`score_video` takes.
            num_samples: Number of dataset samples that the video has.
            record: What else to keep: ``settings``, and what :meth:`write_predictions` and :meth:`pack` need.
        """
        try:
            scores = self.score_video(video)
        except ValueError as error:
            raise ValueError(f'video {name}: {error}') from error
        self.results.append(dict(video_name=name, settings={}, num_samples=num_samples, scores=scores) | record)

    def evaluate(self, size: int) -> dict[str, float]:
        """Merge the scores of all ranks and report them on the first rank.

        Every rank computes the same result, so that all ranks stop in case of an error.

        Args:
            size: Number of samples in the dataset.

        Raises:
            ValueError: If results are missing or have different settings, or there is nothing to score.
        """
        results = [result for part in all_gather_object(self.results) for result in part]
        self.results = []
        by_name = {result['video_name']: result for result in results}
        found = sum(result['num_samples'] for result in by_name.values())
        if found != size:
            raise ValueError(
                f'{type(self).__name__} has results of {found} {self.samples}, but the dataset has {size}: every video '
                'must be processed before evaluate() and have a name of its own'
            )
        metrics = self.compute_metrics([by_name[name] for name in sorted(by_name)])
        return {f'{self.prefix}/{name}': value for name, value in metrics.items()}

    def compute_metrics(self, results: list[dict]) -> dict[str, float]:
        """Summarize and report the results of videos, one result per video."""
        if not results:
            raise ValueError(f'{type(self).__name__} has nothing to evaluate: the dataset has no videos')
        _check_same_settings(results)
        scored = {result['video_name']: result['scores'] for result in results if result['scores'] is not None}
        summary = self.summarize(scored) if scored else self.without_scores()
        if is_main_process():
            self.report(results, summary)
        return summary.metrics

    def report(self, results: list[dict], summary: Summary) -> None:
        """Write the log and the files, on the first rank."""
        settings = dict(weights=self.weights, **results[0]['settings'], options=self.options)
        not_scored = [result['video_name'] for result in results if result['scores'] is None]
        if not_scored and summary.metrics:
            print_log(
                f'{len(not_scored)} of {len(results)} videos have no ground truth and do not count: '
                f'{", ".join(not_scored[:20])}',
                'current',
                logging.WARNING,
            )
        text = [f'{self.prefix}: {len(results) - len(not_scored)} videos scored with {json.dumps(settings)}']
        text += [format_table(name, table) for name, table in summary.tables.items()]
        print_log('\n'.join(text), 'current')
        if self.out_dir is None:
            return
        content = dict(
            metric=type(self).__name__, **settings, scores=summary.metrics, **summary.tables, not_scored=not_scored
        )
        path = self.out_dir / f'{self.prefix}_scores.json'
        self._warn_of_others(path)
        with atomic_write(path) as part:
            part.write_text(json.dumps(content, indent=2, allow_nan=False) + '\n')
        for name, table in summary.tables.items():
            with atomic_write(self.out_dir / f'{self.prefix}_{name}.csv') as part, part.open('w', newline='') as file:
                csv.writer(file, lineterminator='\n').writerows(_table_lines(name, table))
        self.write_predictions(results)
        if self.predictions:
            print_log(f'{self.predictions} of {len(results)} videos are in {self.out_dir}', 'current')
        if self.submission:
            self.pack(self.out_dir / f'{self.prefix}_submission.zip', results)
            print_log(
                f'Packed for the {self.submission} server: {self.out_dir / f"{self.prefix}_submission.zip"}', 'current'
            )

    def _warn_of_others(self, path: Path) -> None:
        """Log a warning if scores of other weights will be replaced."""
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
        """Names of classes or joints from the dataset's ``METAINFO[key]``, or their numbers if there are no names.

        Raises:
            ValueError: If the number of names differs from ``count``.
        """
        names = (self.dataset_meta or {}).get(key)
        if names is None:
            return [str(index) for index in range(count)]
        if len(names) != count:
            raise ValueError(f'the dataset names {len(names)} {key}, but {count} were scored')
        return list(names)


def percent(value: float) -> float | None:
    """Convert a share to per cent; None for NaN."""
    return None if math.isnan(value) else 100 * float(value)


def format_table(name: str, table: Table) -> str:
    """Format a table as aligned text."""
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


def _check_same_settings(results: list[dict]) -> None:
    first = results[0]
    for result in results:
        if json.dumps(result['settings'], sort_keys=True) != json.dumps(first['settings'], sort_keys=True):
            raise ValueError(
                f'videos have different settings, so their mean has no meaning: {first["video_name"]} with '
                f'{json.dumps(first["settings"])}, {result["video_name"]} with {json.dumps(result["settings"])}'
            )
