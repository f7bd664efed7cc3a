"""Score frozen encoders in label propagation and tracking: encoders x protocols x data.

The encoders are those of a list (board.yml beside this file). A cell is one encoder in one protocol on one data set. It
is a JSON file in OUT with its scores and all that made them. Finished cells are kept: a run that was stopped continues
with the same command, and a longer list adds its rows. A cell that fails is reported, and the others go on.

The input is as large as makes the grid of features --grid for each encoder, so that a window of the protocol covers the
same part of a frame: 20 x 36 cells are 280 x 504 pixels for patches of 14, 160 x 288 for patches of 8.

Protocols of davis and jhmdb are those of label propagation; add ``-no-window`` to the name of one for the same without
its window. Protocols of sot are the matchers of FrozenTracker, and its grid is that of the crop around the target.

Example:
    python tools/experiments/board.py work_dirs/board --davis data/DAVIS --jhmdb data/JHMDB --sot data/sequences \\
        --frames davis=24 jhmdb=24 --page work_dirs/board.md
    python tools/experiments/board.py work_dirs/board --davis data/DAVIS --grid davis=30x55 --protocols davis=dino,crw
    python tools/experiments/board.py docs/results/board --page docs/results/board.md    # the page alone
"""

import argparse
from pathlib import Path


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('out', type=Path, help='folder of the results, one file a cell')
    parser.add_argument(
        '--encoders', type=Path, default=Path(__file__).with_suffix('.yml'), help='list (default: %(default)s)'
    )
    parser.add_argument('--davis', type=Path, help='folder of DAVIS 2017; its val sequences are scored')
    parser.add_argument('--jhmdb', type=Path, help='folder of JHMDB; the test videos of split 1 are scored')
    parser.add_argument('--sot', type=Path, help='folder of sequences NAME/img/*.jpg and NAME/groundtruth_rect.txt')
    parser.add_argument(
        '--frames', nargs='+', default=[], metavar='[DATA=]N', help='first frames of each video to score (default: all)'
    )
    parser.add_argument(
        '--grid',
        nargs='+',
        default=[],
        metavar='DATA=HxW',
        help='cells of features (default: davis=20x36 jhmdb=20x20 sot=18x18)',
    )
    parser.add_argument(
        '--protocols', nargs='+', default=[], metavar='DATA=NAME,...', help='in place of the default ones'
    )
    parser.add_argument('--seed', type=int, default=0, help='of random weights (default: %(default)s)')
    parser.add_argument(
        '--page', type=Path, help='page whose part between the marks of the board is written anew; or a new one'
    )
    return parser


if __name__ == '__main__':
    make_parser().parse_args()  # answers --help and refuses mistakes before the imports below, which take seconds

import json  # noqa: E402
import re  # noqa: E402
import shlex  # noqa: E402
import sys  # noqa: E402
import time  # noqa: E402
from abc import ABC, abstractmethod  # noqa: E402
from collections.abc import Callable, Iterator, Sequence  # noqa: E402
from dataclasses import dataclass, field  # noqa: E402
from functools import cached_property  # noqa: E402
from typing import Any, ClassVar, NamedTuple  # noqa: E402

import numpy as np  # noqa: E402
import torch  # noqa: E402
import yaml  # noqa: E402
from frozen_scores import (  # noqa: E402
    NO_WINDOW,
    MovedPoseMetric,
    StillLabels,
    pipeline,
    protocol_options,
    video_scores,
)
from mmengine.config import Config  # noqa: E402
from mmengine.device import get_device  # noqa: E402
from mmengine.registry import init_default_scope  # noqa: E402
from records import ROOT, git_commit, machine  # noqa: E402
from torch import nn  # noqa: E402

from mmvidmae.apis import TrackingInferencer, get_model  # noqa: E402
from mmvidmae.datasets import DAVISDataset, JHMDBDataset  # noqa: E402
from mmvidmae.datasets.readers import read_image  # noqa: E402
from mmvidmae.engine.hooks.weights_record_hook import identify  # noqa: E402
from mmvidmae.evaluation.metrics import TrackingMetric, VideoSegmentationMetric  # noqa: E402
from mmvidmae.models.propagation import LabelPropagator  # noqa: E402
from mmvidmae.models.trackers import FrozenTracker  # noqa: E402
from mmvidmae.utils.files import atomic_write  # noqa: E402
from mmvidmae.utils.interrupt import leave_on_interrupt  # noqa: E402

PROBE = 224
"""Side of the input that shows how many pixels a cell has."""
BEGIN, END = '<!-- board -->', '<!-- end of the board -->'


class Encoder(NamedTuple):
    """A row of the board, see board.yml."""

    label: str
    config: str | None = None
    weights: str | None = None


@dataclass
class Cell:
    """A score to compute.

    Attributes:
        encoder: The row.
        data: Key of :data:`KINDS`.
        protocol: Name of the protocol; None for a row without an encoder.
        asked: What the score depends on besides the content of weights and data. A result with other values is refused.
    """

    encoder: Encoder
    data: str
    protocol: str | None
    asked: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        label = re.sub(r'[^a-z0-9]+', '-', self.encoder.label.lower()).strip('-')
        return '_'.join(part for part in (self.data, self.protocol, label) if part)

    @property
    def title(self) -> str:
        return ', '.join(part for part in (self.encoder.label, self.data, self.protocol) if part)


def read_encoders(path: Path) -> list[Encoder]:
    """Read a list of encoders.

    Raises:
        ValueError: If the list is not as in board.yml, or two labels give the same name of a file.
    """
    rows = yaml.safe_load(path.read_text())
    if not isinstance(rows, list):
        raise ValueError(f'{path} is no list of encoders')
    encoders: dict[str, Encoder] = {}
    for number, row in enumerate(rows, 1):
        try:
            encoder = Encoder(**row)
        except TypeError as error:
            raise ValueError(
                f'{path}, encoder {number}: expected label, config and, unless random, weights, got {row}'
            ) from error
        name = Cell(encoder, '', '').name
        if name in encoders:
            raise ValueError(f'{path}, encoder {number}: {encoder.label!r} is too much like {encoders[name].label!r}')
        encoders[name] = encoder
    return list(encoders.values())


class LoadedEncoder:
    """A frozen encoder.

    Args:
        encoder: The row.
        seed: Seed of random weights.

    Attributes:
        backbone: Encoder on the GPU, if there is one.
        config: Config of the backbone.
        pixels: ``mean`` and ``std`` of its input.

    Raises:
        FileNotFoundError, ValueError: See :func:`get_model`.
    """

    def __init__(self, encoder: Encoder, seed: int) -> None:
        config = Config.fromfile(ROOT / encoder.config)
        torch.manual_seed(seed)
        if encoder.weights:
            self.backbone: nn.Module = get_model(config, encoder.weights).backbone
        else:
            self.backbone = LabelPropagator(config.model.backbone).to(get_device()).backbone
        self.config = config.model.backbone.to_dict()
        given = config.model.get('data_preprocessor') or config.get('data_preprocessor') or {}
        self.pixels = {key: list(given[key]) for key in ('mean', 'std') if key in given}

    @property
    def device(self) -> torch.device:
        """Where it runs."""
        return next(self.backbone.parameters()).device

    def propagator(self, protocol: dict | str) -> LabelPropagator:
        """Model that propagates labels."""
        return LabelPropagator(self.backbone, protocol, data_preprocessor=self.pixels).to(self.device)

    def tracker(self, model: dict, search_size: int) -> FrozenTracker:
        """Model that follows a box, see :class:`FrozenTracker`. A recurrent encoder reads one crop of each frame."""
        options = {name: value for name, value in model.items() if name != 'type'}
        preprocessor = dict(model['data_preprocessor'], bgr_to_rgb=False, **self.pixels)
        if hasattr(self.backbone, 'forward_video') and 'scales' in model['matcher']:
            options['matcher'] = dict(model['matcher'], scales=(1.0,))
        options |= dict(search_size=search_size, data_preprocessor=preprocessor)
        return FrozenTracker(self.backbone, **options).to(self.device)

    @cached_property
    def cell_size(self) -> int:
        """Pixels that a cell of the features is wide.

        Raises:
            ValueError: If that is no whole number.
        """
        (features,) = self.propagator('dino')([torch.zeros(1, 3, PROBE, PROBE, dtype=torch.uint8)])
        size, rest = divmod(PROBE, features.shape[-1])
        if rest:
            raise ValueError(f'{PROBE} pixels are {features.shape[-1]} cells: no whole number of pixels a cell')
        return size


class Kind(ABC):
    """A kind of data.

    Attributes:
        title: Name in the tables.
        scores: Names of the scores in the tables.
        protocols: Default protocols.
        grid: Default height and width of the grid of features.
        least: Smallest number of frames with a score.
    """

    title: str
    scores: Sequence[str]
    protocols: Sequence[str]
    grid: tuple[int, int]
    least: int

    @abstractmethod
    def options(self, protocol: str) -> dict[str, Any]:
        """Options of a protocol.

        Raises:
            ValueError: If there is no such protocol.
        """

    @abstractmethod
    def videos(self, root: Path) -> list[str]:
        """Names of the videos of a folder.

        Raises:
            OSError, ValueError: If data is missing or damaged.
        """

    @abstractmethod
    def score(self, root: Path, frames: int | None, encoder: LoadedEncoder, protocol: str, size: Any) -> dict[str, Any]:
        """Compute ``scores`` and the ``options`` in effect, at an input of ``size`` (h, w) pixels."""

    @abstractmethod
    def score_without_encoder(self, root: Path, frames: int | None) -> dict[str, Any]:
        """Compute the scores of the labels of the first frame in all frames."""


@dataclass
class Propagation(Kind):
    """Videos whose labels are propagated.

    Attributes:
        dataset: Called with the folder and ``pipeline``.
        metric: Called without arguments.
    """

    title: str
    dataset: Callable[..., Any]
    metric: Callable[[], Any]
    scores: Sequence[str]
    protocols: Sequence[str]
    grid: tuple[int, int]
    least: int

    def options(self, protocol: str) -> dict[str, Any]:
        return protocol_options(protocol)

    def videos(self, root: Path) -> list[str]:
        dataset = self.dataset(str(root))
        return [dataset.get_data_info(index)['video_name'] for index in range(len(dataset))]

    def score(self, root: Path, frames: int | None, encoder: LoadedEncoder, protocol: str, size: Any) -> dict[str, Any]:
        propagator = encoder.propagator(self.options(protocol))
        dataset = self.dataset(str(root), pipeline=pipeline(frames, size=size))
        scores = video_scores(propagator, dataset, self.metric())
        return dict(scores=scores, options=propagator.protocol.as_dict())

    def score_without_encoder(self, root: Path, frames: int | None) -> dict[str, Any]:
        dataset = self.dataset(str(root), pipeline=pipeline(frames, size=(16, 16)))  # nothing looks at the pixels
        return video_scores(StillLabels(), dataset, self.metric())


class Tracking(Kind):
    """Sequences with boxes."""

    title = 'Tracking'
    scores = ('success', 'precision')
    grid = (18, 18)
    least = 2
    configs: ClassVar = dict(propagation='frozen_tracker.py', correlation='frozen_tracker_correlation.py')
    protocols = tuple(configs)

    def options(self, protocol: str) -> dict[str, Any]:
        if protocol not in self.configs:
            raise ValueError(f'there is no matcher {protocol}: they are {", ".join(self.configs)}')
        return Config.fromfile(ROOT / 'configs/_base_/models' / self.configs[protocol]).model.to_dict()

    def videos(self, root: Path) -> list[str]:
        return self._dataset(root).metainfo['sequences']

    def score(self, root: Path, frames: int | None, encoder: LoadedEncoder, protocol: str, size: Any) -> dict[str, Any]:
        if size[0] != size[1]:
            raise ValueError(f'the crop of a tracker is a square, not {size[0]} x {size[1]} pixels')
        model = self.options(protocol)
        tracker = encoder.tracker(model, size[0])
        inferencer = TrackingInferencer(tracker, show_progress=False)

        def follow(images: Iterator[np.ndarray], box: np.ndarray) -> list:
            return inferencer(images, box)['predictions']['boxes_xywh']

        scores = self._scores(root, frames, follow)
        options = model | dict(matcher=model['matcher'] | dict(scales=tracker.matcher.scales))
        return dict(scores=scores, options=options)

    def score_without_encoder(self, root: Path, frames: int | None) -> dict[str, Any]:
        return self._scores(root, frames, lambda images, box: [box for _ in images])

    def _dataset(self, root: Path) -> Any:
        from mmvidmae.datasets.tracking.sequences import SequenceFolderDataset  # it needs mmtrack

        return SequenceFolderDataset(str(root), test_mode=True)

    def _scores(self, root: Path, frames: int | None, follow: Callable[..., list]) -> dict[str, Any]:
        dataset, metric, videos = self._dataset(root), TrackingMetric(), {}
        for index, name in enumerate(dataset.metainfo['sequences']):
            boxes = dataset.get_bboxes_from_video(index)[:frames]
            paths = map(Path, dataset.get_img_infos_from_video(index)['img_paths'][:frames])
            found = follow((read_image(str(path.parent), path.name) for path in paths), boxes[0])
            videos[name] = metric.score_video(dict(pred=np.array(found), gt=boxes, visible=None))
        summary = metric.summarize(videos)
        return summary.metrics | dict(sequences=summary.tables['per_sequence'])


KINDS: dict[str, Kind] = dict(
    davis=Propagation(
        'DAVIS',
        DAVISDataset,
        VideoSegmentationMetric,
        ('J&F-Mean',),
        ('dino', f'dino{NO_WINDOW}', 'cropmae', 'dinov3'),
        (20, 36),
        3,
    ),
    jhmdb=Propagation(
        'JHMDB', JHMDBDataset, MovedPoseMetric, ('PCK@0.1', 'PCK@0.2', 'moved PCK@0.1'), ('cropmae',), (20, 20), 2
    ),
    sot=Tracking(),
)
"""Kinds of data by the name of their option. Another kind is another entry and its option."""


def score(cell: Cell, loaded: LoadedEncoder | None, root: Path) -> dict[str, Any]:
    """Compute a cell. Returns its record."""
    start, cpu = time.perf_counter(), time.process_time()
    kind, frames, made = KINDS[cell.data], cell.asked['frames'], {}
    if loaded is None:
        made['scores'] = kind.score_without_encoder(root, frames)
    else:
        size = tuple(loaded.cell_size * cells for cells in cell.asked['grid'])
        made = kind.score(root, frames, loaded, cell.protocol or '', size)
        made |= dict(input_size=size, normalization=loaded.pixels, backbone=loaded.config, device=loaded.device.type)
    return dict(
        asked=cell.asked,
        **made,
        folder=str(root),
        seconds=round(time.perf_counter() - start, 1),
        cpu_seconds=round(time.process_time() - cpu, 1),
        threads=torch.get_num_threads(),
        command=shlex.join(['python', *sys.argv]),
        commit=git_commit(),
        **machine(),
    )


def is_done(cell: Cell, out: Path) -> bool:
    """Whether a result exists.

    Raises:
        SystemExit: If the result is of other arguments, weights or videos.
    """
    path = out / f'{cell.name}.json'
    if not path.exists():
        return False
    known = json.loads(path.read_text())['asked']
    asked = json.loads(json.dumps(cell.asked))
    if asked['sha256'] is None and asked['weights']:  # the file is not here any more
        asked['sha256'] = known['sha256']
    other = [key for key in asked if known.get(key) != asked[key]]
    if other:
        raise SystemExit(f'{path} has other {", ".join(other)}: use another folder, or delete it')
    return True


def work(cells: list[Cell], out: Path, roots: dict[str, Path], seed: int) -> list[str]:
    """Compute the cells that have no result, encoder by encoder. Returns the problems."""
    waiting = [cell for cell in cells if not is_done(cell, out)]
    lacking = {
        cell.encoder: None for cell in waiting if cell.encoder.weights and not Path(cell.encoder.weights).is_file()
    }
    problems = [f'{encoder.label}: there is no file {encoder.weights}' for encoder in lacking]
    for problem in problems:
        print(f'LEFT OUT, {problem}', flush=True)
    waiting = [cell for cell in waiting if cell.encoder not in lacking]
    print(f'{len(cells)} cells, {len(waiting)} to do', flush=True)
    start = time.perf_counter()
    loaded: dict[Encoder, LoadedEncoder | None] = {}
    for number, cell in enumerate(waiting, 1):
        title = f'[{number}/{len(waiting)}] {cell.title}'
        try:
            if cell.encoder not in loaded:  # one at a time
                loaded = {cell.encoder: LoadedEncoder(cell.encoder, seed) if cell.encoder.config else None}
            record = score(cell, loaded[cell.encoder], roots[cell.data])
        except Exception as error:  # whatever is wrong with one cell, the others are worth having
            problems.append(f'{cell.name} failed')
            print(f'{title}: FAILED, {type(error).__name__}: {error}', flush=True)
            continue
        with atomic_write(out / f'{cell.name}.json') as part:
            part.write_text(json.dumps(record, indent=1) + '\n')
        spent = time.perf_counter() - start
        left = spent / number * (len(waiting) - number) / 60
        print(f'{title}: {_values(record)} in {record["seconds"]:.0f} s; about {left:.0f} min left', flush=True)
    return problems


def tables(out: Path, encoders: Sequence[Encoder]) -> str:
    """Markdown of all results of a folder: a table for each set of data, grid and frames."""
    order = [encoder.label for encoder in encoders]
    groups: dict[str, list[dict[str, Any]]] = {}
    records = [json.loads(path.read_text()) for path in sorted(out.glob('*.json'))]
    for record in sorted(records, key=lambda record: _places(order, record['asked']['label'])):
        shared = {key: record['asked'][key] for key in ('data', 'frames', 'videos')}
        groups.setdefault(json.dumps(shared), []).append(record)
    texts = []
    for what, of_data in sorted(groups.items(), key=lambda group: list(KINDS).index(json.loads(group[0])['data'])):
        still = [record for record in of_data if record['asked']['config'] is None]
        grids = {json.dumps(record['asked']['grid']): None for record in of_data if record not in still}
        for grid in grids or ['null']:
            same = [record for record in of_data if json.dumps(record['asked']['grid']) == grid]
            texts.append(_table(**json.loads(what), grid=json.loads(grid), records=same, still=still))
    return '\n\n'.join(texts)


def _table(
    data: str, frames: int | None, videos: list[str], grid: list[int] | None, records: list[dict], still: list[dict]
) -> str:
    kind = KINDS[data]
    names = {record['asked']['protocol'] for record in records if record not in still}
    columns = sorted(names, key=lambda name: (name not in kind.protocols, *_places(kind.protocols, name)))
    rows: dict[str, dict[str, dict[str, Any]]] = {}
    for record in records:
        if record not in still:
            rows.setdefault(record['asked']['label'], {})[record['asked']['protocol']] = record
    seconds = sum(record['cpu_seconds'] for record in records)
    lines = [
        f'{kind.title}, {" / ".join(kind.scores)}, per cent: {len(videos)} videos, '
        + (f'first {frames} frames of each, ' if frames else 'all frames, ')
        + (f'grid of {grid[0]} x {grid[1]} cells, ' if grid else '')
        + f'{seconds / 3600:.1f} CPU hours.',
        '',
        f'| Encoder | Input | Weights | {" | ".join(f"`{name}`" for name in columns or ["-"])} |',
        '|:--|:--|:--|' + '--:|' * max(1, len(columns)),
    ]
    for record in still:
        values = ' | '.join([_values(record)] * max(1, len(columns)))
        lines.append(f'| {record["asked"]["label"]} | - | - | {values} |')
    for label, cells in rows.items():
        record = next(iter(cells.values()))
        asked, size = record['asked'], record['input_size']
        weights = f'`{asked["sha256"]}`' if asked['weights'] else f'seed {asked["seed"]}'
        values = ' | '.join(_values(cells[name]) if name in cells else '-' for name in columns)
        lines.append(f'| {label} | {size[0]} x {size[1]} | {weights} | {values} |')
    return '\n'.join(lines)


def _values(record: dict[str, Any]) -> str:
    scores = [record['scores'].get(name) for name in KINDS[record['asked']['data']].scores]
    return ' / '.join('-' if value is None else f'{value:.1f}' for value in scores)


def _places(order: Sequence[str], name: str) -> tuple[int, str]:
    return (order.index(name) if name in order else len(order)), name


def write_page(page: Path, content: str) -> None:
    """Replace the part of a page between the marks of the board. A page that does not exist gets this part alone.

    Raises:
        ValueError: If the page does not have the marks.
    """
    text = page.read_text('utf-8') if page.exists() else f'{BEGIN}{END}\n'
    if BEGIN not in text or END not in text:
        raise ValueError(f'{page} has no lines {BEGIN} and {END}')
    before, _, rest = text.partition(BEGIN)
    with atomic_write(page) as part:
        part.write_text(f'{before}{BEGIN}\n\n{content}\n\n{END}{rest.partition(END)[2]}', 'utf-8')


def by_data(values: Sequence[str]) -> dict[str, str]:
    """Split values of the form ``DATA=VALUE``.

    Raises:
        ValueError: If one has another form or names no kind of data.
    """
    found = dict(value.partition('=')[::2] for value in values)
    for data, value in found.items():
        if data not in KINDS or not value:
            raise ValueError(f'expected DATA=VALUE with DATA one of {", ".join(KINDS)}, got {data}={value}')
    return found


def frames_by_data(values: Sequence[str]) -> dict[str, int | None]:
    """Number of frames of each kind of data, from values of the form ``DATA=N``, or ``N`` for all.

    Raises:
        ValueError: If a number is none, or too small for a score.
    """
    plain = [f'{data}={value}' for value in values if '=' not in value for data in KINDS]
    found: dict[str, int | None] = dict.fromkeys(KINDS)
    for data, value in by_data([*plain, *(value for value in values if '=' in value)]).items():
        least = KINDS[data].least
        if not value.isdecimal() or int(value) < least:
            raise ValueError(f'--frames {data}={value}: a score needs a number of at least {least}')
        found[data] = int(value)
    return found


def plan(args: argparse.Namespace, encoders: Sequence[Encoder]) -> tuple[list[Cell], list[str]]:
    """All cells that the arguments ask for, and the problems of data that cannot be read.

    Raises:
        ValueError: If an argument is wrong.
    """
    grids, protocols, frames = by_data(args.grid), by_data(args.protocols), frames_by_data(args.frames)
    cells, problems = [], []
    digests = {encoder: encoder.weights and identify(encoder.weights)['sha256'] for encoder in encoders}
    for data, kind in KINDS.items():
        grid = [int(cells) for cells in grids[data].split('x')] if data in grids else list(kind.grid)
        if len(grid) != 2 or min(grid) < 1:
            raise ValueError(f'--grid {data}={grids[data]}: expected HxW, such as 20x36')
        names = protocols[data].split(',') if data in protocols else kind.protocols
        for name in names:
            kind.options(name)
        root = getattr(args, data)
        if root is None:
            continue
        try:
            videos = kind.videos(root)
        except (OSError, ValueError, ImportError) as error:
            problems.append(f'{data}: {error}')
            continue
        for encoder in encoders:
            for name in names if encoder.config else [None]:
                asked = dict(
                    encoder._asdict(),
                    sha256=digests[encoder],
                    seed=args.seed if encoder.config and not encoder.weights else None,
                    data=data,
                    protocol=name,
                    grid=grid if encoder.config else None,
                    frames=frames[data],
                    videos=videos,
                )
                cells.append(Cell(encoder, data, name, asked))
    return sorted(cells, key=lambda cell: encoders.index(cell.encoder)), problems


def main() -> None:
    parser = make_parser()
    args = parser.parse_args()
    init_default_scope('mmpretrain')
    try:
        encoders = read_encoders(args.encoders)
        cells, problems = plan(args, encoders)
    except (OSError, ValueError, yaml.YAMLError) as error:
        parser.error(str(error))
    for problem in problems:
        print(f'FAILED, {problem}', flush=True)
    if not cells and not any(args.out.glob('*.json')):
        parser.error(
            'there is nothing to score: '
            + ('; '.join(problems) or 'give --davis, --jhmdb or --sot (DAVIS=folder ... for make)')
        )
    git_commit()  # before anything changes: a run takes long
    problems += work(cells, args.out, {data: getattr(args, data) for data in KINDS}, args.seed)
    if args.page:
        write_page(args.page, tables(args.out, encoders))
        print(f'The tables are in {args.page}')
    if problems:
        raise SystemExit('; '.join(problems))


if __name__ == '__main__':
    with leave_on_interrupt('The same command continues with the remaining cells.'):
        main()
