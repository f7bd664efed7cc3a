"""Score frozen encoders in label propagation: encoders x protocols x data.

The encoders are those of a list (board.yml beside this file). A cell is one encoder in one protocol on one data set. It
is a JSON file in OUT with its scores and all that made them. Finished cells are kept: a run that was stopped continues
with the same command, and a longer list adds its rows. A cell that fails is reported, and the others go on.

The input is as large as makes the grid of features --grid for each encoder, so that a window of the protocol covers the
same part of a frame: 20 x 36 cells are 280 x 504 pixels for patches of 14, 160 x 288 for patches of 8.

Add ``-no-window`` to the name of a protocol for the same one without its window.

Example:
    python tools/experiments/board.py docs/results/board --davis data/DAVIS --jhmdb data/JHMDB --frames 24 \\
        --page docs/results/board.md
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
    parser.add_argument('--frames', type=int, help='first frames of each video to score (default: all)')
    parser.add_argument(
        '--grid', nargs='+', default=[], metavar='DATA=HxW', help='cells of features (default: davis=20x36 jhmdb=20x20)'
    )
    parser.add_argument(
        '--protocols', nargs='+', default=[], metavar='DATA=NAME,...', help='in place of the default ones'
    )
    parser.add_argument('--seed', type=int, default=0, help='of random weights (default: %(default)s)')
    parser.add_argument('--page', type=Path, help='page whose part between the marks of the board is written anew')
    return parser


if __name__ == '__main__':
    make_parser().parse_args()  # answers --help and refuses mistakes before the imports below, which take seconds

import json  # noqa: E402
import re  # noqa: E402
import shlex  # noqa: E402
import sys  # noqa: E402
import time  # noqa: E402
from collections.abc import Callable, Sequence  # noqa: E402
from dataclasses import dataclass, field  # noqa: E402
from functools import cached_property  # noqa: E402
from typing import Any, NamedTuple  # noqa: E402

import torch  # noqa: E402
import yaml  # noqa: E402
from frozen_scores import pipeline, video_scores  # noqa: E402
from mmengine.config import Config  # noqa: E402
from mmengine.device import get_device  # noqa: E402
from mmengine.registry import init_default_scope  # noqa: E402
from records import ROOT, git_commit, machine  # noqa: E402
from torch import nn  # noqa: E402

from mmvidmae.apis import get_model  # noqa: E402
from mmvidmae.datasets import DAVISDataset, JHMDBDataset  # noqa: E402
from mmvidmae.engine.hooks.weights_record_hook import identify  # noqa: E402
from mmvidmae.evaluation.metrics import PoseMetric, VideoSegmentationMetric  # noqa: E402
from mmvidmae.models.propagation import PROTOCOLS, LabelPropagator  # noqa: E402
from mmvidmae.utils.files import atomic_write  # noqa: E402
from mmvidmae.utils.interrupt import leave_on_interrupt  # noqa: E402

NO_WINDOW = '-no-window'
PROBE = 224
"""Side of the input that shows how many pixels a cell has."""
BEGIN, END = '<!-- board -->', '<!-- end of the board -->'


class Kind(NamedTuple):
    """A kind of data.

    Attributes:
        title: Name in the tables.
        dataset: Called with the folder and ``pipeline``.
        metric: Called without arguments.
        score: Name of the score in the tables.
        protocols: Default protocols.
        grid: Default height and width of the grid of features.
    """

    title: str
    dataset: Callable[..., Any]
    metric: Callable[[], Any]
    score: str
    protocols: Sequence[str]
    grid: tuple[int, int]


KINDS = dict(
    davis=Kind(
        'DAVIS',
        DAVISDataset,
        VideoSegmentationMetric,
        'J&F-Mean',
        ('dino', f'dino{NO_WINDOW}', 'cropmae', 'dinov3'),
        (20, 36),
    ),
    jhmdb=Kind('JHMDB', JHMDBDataset, PoseMetric, 'PCK@0.1', ('cropmae', f'cropmae{NO_WINDOW}'), (20, 20)),
)
"""Kinds of data by the name of their option. Another kind is another entry and its option."""


class Encoder(NamedTuple):
    """A row of the board, see board.yml."""

    label: str
    config: str
    weights: str | None = None


@dataclass
class Cell:
    """A score to compute.

    Attributes:
        encoder: The row.
        data: Key of :data:`KINDS`.
        protocol: Name of the protocol.
        asked: What the score depends on besides the content of weights and data. A result with other values is refused.
    """

    encoder: Encoder
    data: str
    protocol: str
    asked: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        label = re.sub(r'[^a-z0-9]+', '-', self.encoder.label.lower()).strip('-')
        return f'{self.data}_{self.protocol}_{label}'


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


def protocol_options(name: str) -> dict[str, Any]:
    """Protocol of a name, for :class:`LabelPropagator`.

    Raises:
        ValueError: If there is none.
    """
    preset = name.removesuffix(NO_WINDOW)
    if preset not in PROTOCOLS:
        raise ValueError(f'there is no protocol {name}: they are {", ".join(PROTOCOLS)}, each also with {NO_WINDOW}')
    return dict(preset=preset, **(dict(radius=None) if name.endswith(NO_WINDOW) else {}))


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

    def propagator(self, protocol: str) -> LabelPropagator:
        """The model of a cell."""
        device = next(self.backbone.parameters()).device
        return LabelPropagator(self.backbone, protocol_options(protocol), data_preprocessor=self.pixels).to(device)

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


def score(cell: Cell, loaded: LoadedEncoder, root: Path) -> dict[str, Any]:
    """Compute a cell. Returns its record."""
    start, cpu = time.perf_counter(), time.process_time()
    kind, propagator, pixels = KINDS[cell.data], loaded.propagator(cell.protocol), loaded.cell_size
    size = tuple(pixels * cells for cells in cell.asked['grid'])
    dataset = kind.dataset(str(root), pipeline=pipeline(cell.asked['frames'], size=size))
    scores = video_scores(propagator, dataset, kind.metric())
    return dict(
        asked=cell.asked,
        scores=scores,
        input_size=size,
        normalization=loaded.pixels,
        options=propagator.protocol.as_dict(),
        backbone=loaded.config,
        folder=str(root),
        seconds=round(time.perf_counter() - start, 1),
        cpu_seconds=round(time.process_time() - cpu, 1),
        threads=torch.get_num_threads(),
        device=next(propagator.parameters()).device.type,
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
    """Compute the cells that have no result, encoder by encoder. Returns the names of those that failed."""
    waiting = [cell for cell in cells if not is_done(cell, out)]
    print(f'{len(cells)} cells, {len(waiting)} to do', flush=True)
    start, failed, loaded = time.perf_counter(), [], {}
    for number, cell in enumerate(waiting, 1):
        title = f'[{number}/{len(waiting)}] {cell.encoder.label}, {cell.data}, {cell.protocol}'
        try:
            if cell.encoder not in loaded:
                loaded = {cell.encoder: LoadedEncoder(cell.encoder, seed)}  # one at a time
            record = score(cell, loaded[cell.encoder], roots[cell.data])
        except Exception as error:  # whatever is wrong with one cell, the others are worth having
            failed.append(cell.name)
            print(f'{title}: FAILED, {type(error).__name__}: {error}', flush=True)
            continue
        with atomic_write(out / f'{cell.name}.json') as part:
            part.write_text(json.dumps(record, indent=1) + '\n')
        value, spent = record['scores'][KINDS[cell.data].score], time.perf_counter() - start
        left = spent / number * (len(waiting) - number) / 60
        print(f'{title}: {value:.1f} in {record["seconds"]:.0f} s; about {left:.0f} min left', flush=True)
    return failed


def tables(out: Path, encoders: Sequence[Encoder]) -> str:
    """Markdown of all results of a folder: a table for each set of data, grid and frames."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for path in sorted(out.glob('*.json')):
        record = json.loads(path.read_text())
        shared = {key: record['asked'][key] for key in ('data', 'grid', 'frames', 'videos')}
        groups.setdefault(json.dumps(shared), []).append(record)
    order = [encoder.label for encoder in encoders]
    texts = []
    for shared, records in groups.items():
        what = json.loads(shared)
        kind = KINDS[what['data']]
        names = {record['asked']['protocol'] for record in records}
        columns = sorted(names, key=lambda name: (name not in kind.protocols, *_places(kind.protocols, name)))
        rows: dict[str, dict[str, dict[str, Any]]] = {}
        for record in sorted(records, key=lambda record: _places(order, record['asked']['label'])):
            rows.setdefault(record['asked']['label'], {})[record['asked']['protocol']] = record
        frames = f'first {what["frames"]} frames of each' if what['frames'] else 'all frames'
        height, width = what['grid']
        seconds = sum(record['cpu_seconds'] for record in records)
        lines = [
            f'{kind.title}, {kind.score}, per cent: {len(what["videos"])} videos, {frames}, grid of {height} x {width} '
            f'cells, {seconds / 3600:.1f} CPU hours.',
            '',
            f'| Encoder | Input | Weights | {" | ".join(f"`{name}`" for name in columns)} |',
            '|:--|:--|:--|' + '--:|' * len(columns),
        ]
        for label, cells in rows.items():
            record = next(iter(cells.values()))
            asked, size = record['asked'], record['input_size']
            weights = f'`{asked["sha256"]}`' if asked['weights'] else f'seed {asked["seed"]}'
            values = [f'{cells[name]["scores"][kind.score]:.1f}' if name in cells else '-' for name in columns]
            lines.append(f'| {label} | {size[0]} x {size[1]} | {weights} | {" | ".join(values)} |')
        texts.append('\n'.join(lines))
    return '\n\n'.join(texts)


def _places(order: Sequence[str], name: str) -> tuple[int, str]:
    return (order.index(name) if name in order else len(order)), name


def write_page(page: Path, content: str) -> None:
    """Replace the part of a page between the marks of the board.

    Raises:
        ValueError: If the page does not have the marks.
    """
    text = page.read_text('utf-8')
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


def plan(args: argparse.Namespace, encoders: Sequence[Encoder]) -> tuple[list[Cell], list[str]]:
    """All cells that the arguments ask for, and the problems of data that cannot be read.

    Raises:
        ValueError: If an argument is wrong.
    """
    grids, protocols = by_data(args.grid), by_data(args.protocols)
    cells, problems = [], []
    digests = {encoder: encoder.weights and identify(encoder.weights)['sha256'] for encoder in encoders}
    for data, kind in KINDS.items():
        grid = [int(cells) for cells in grids[data].split('x')] if data in grids else list(kind.grid)
        if len(grid) != 2 or min(grid) < 1:
            raise ValueError(f'--grid {data}={grids[data]}: expected HxW, such as 20x36')
        names = protocols[data].split(',') if data in protocols else kind.protocols
        options = {name: protocol_options(name) for name in names}
        if getattr(args, data) is None:
            continue
        try:
            dataset = kind.dataset(str(getattr(args, data)))
        except (OSError, ValueError) as error:
            problems.append(f'{data}: {error}')
            continue
        videos = [dataset.get_data_info(index)['video_name'] for index in range(len(dataset))]
        for encoder in encoders:
            for name in options:
                asked = dict(
                    encoder._asdict(),
                    sha256=digests[encoder],
                    seed=None if encoder.weights else args.seed,
                    data=data,
                    protocol=name,
                    grid=grid,
                    frames=args.frames,
                    videos=videos,
                )
                cells.append(Cell(encoder, data, name, asked))
    return sorted(cells, key=lambda cell: encoders.index(cell.encoder)), problems


def main() -> None:
    parser = make_parser()
    args = parser.parse_args()
    if args.frames is not None and args.frames < 3:
        parser.error('--frames must be at least 3: the first and the last one are not scored')
    if args.page and not args.page.is_file():
        parser.error(f'there is no page {args.page}')
    try:
        encoders = read_encoders(args.encoders)
        cells, problems = plan(args, encoders)
    except (OSError, ValueError, yaml.YAMLError) as error:
        parser.error(str(error))
    init_default_scope('mmpretrain')
    git_commit()  # before anything changes: a run takes long
    for problem in problems:
        print(f'FAILED, {problem}', flush=True)
    failed = work(cells, args.out, {data: getattr(args, data) for data in KINDS}, args.seed)
    if args.page:
        write_page(args.page, tables(args.out, encoders))
        print(f'The tables are in {args.page}')
    if failed or problems:
        raise SystemExit('; '.join([*(f'{name} failed' for name in failed), *problems]))


if __name__ == '__main__':
    with leave_on_interrupt('The same command continues with the remaining cells.'):
        main()
