"""Table and plots of the results of compare_methods."""

import json
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from frozen_scores import PROTOCOLS
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from measures import CONDITIONS
from small_pretraining import METHODS

from mmvidmae.utils.files import atomic_write

NAMES = {method: entry.title for method, entry in METHODS.items()}
RANDOM = {method: entry.random or method for method, entry in METHODS.items()}
"""The method with the same layers, whose random weights a method starts from."""

RANDOM_ENCODER = {method: entry.random_encoder or method for method, entry in METHODS.items()}
COLORS = {method: f'C{number}' for number, method in enumerate(METHODS)}


def read_result(out: Path, name: str) -> dict[str, Any]:
    """A result with its job, arguments and seconds."""
    return json.loads((out / 'results' / f'{name}.json').read_text())


class Results:
    """Finished results by the names of jobs.

    Args:
        out: Folder of compare_methods.
        names: Names of its jobs. Unfinished ones are skipped.
    """

    def __init__(self, out: Path, names: Iterable[str]) -> None:
        self.all = {name: read_result(out, name) for name in names if (out / 'results' / f'{name}.json').exists()}

    @property
    def methods(self) -> list[str]:
        """Methods with a finished pre-training in the order of :data:`METHODS`; all methods if none is finished."""
        done = {name.split('-')[1] for name in self.all if name.startswith('pretrain-')}
        return [method for method in METHODS if method in done] or [*METHODS]

    def values(self, pattern: str, seeds: Sequence[int], *path: str | int) -> list[float]:
        """Values of the finished jobs named ``pattern``, with ``{}`` replaced by each seed."""
        found = []
        for seed in seeds:
            value = self.all.get(pattern.format(seed), {}).get('result')
            for key in path:
                value = None if value is None or (isinstance(value, dict) and key not in value) else value[key]
            if value is not None:
                found.append(value)
        return found


def show(values: Sequence[float], digits: int = 1, scale: float = 1.0) -> str:
    """Format a mean and, for several seeds, the smallest and largest value; a dash for no value."""
    if not values:
        return '-'
    scaled = np.array(values) * scale
    text = f'{scaled.mean():.{digits}f}'
    return text if len(values) == 1 else f'{text} ({scaled.min():.{digits}f}-{scaled.max():.{digits}f})'


def write_table(lines: list[str], title: str, header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    lines += ['', f'## {title}', '', '| ' + ' | '.join(header) + ' |', '|:--' * len(header) + '|']
    lines += ['| ' + ' | '.join(row) + ' |' for row in rows]


def random_name(method: str, random: dict[str, str], methods: Sequence[str]) -> str:
    if start := METHODS[method].starts_from:
        return f'{NAMES[method]} before training, on {NAMES[start]}'
    return f'random, as {", ".join(NAMES[name] for name in methods if random[name] == method)}'


def early_row(results: Results, label: str, seeds: Sequence[int]) -> list[str]:
    """Figures of the early measurements of a run."""
    job = f'early-{label}'
    losses = [show(results.values(job, seeds, 'loss', condition), 3) for condition in CONDITIONS]
    features = results.values(job, seeds, 'feature_accuracy')
    attention = results.values(job, seeds, 'attention_accuracy')
    chance = results.values(job, seeds, 'attention_chance')
    shares = [attention_share(result) for result in results.values(job, seeds)]
    return [
        *losses,
        show([layers[-1] for layers in features], 1, 100),
        show([max(layers) for layers in attention], 1, 100),
        show(chance, 1, 100),
        show([share for share in shares if share is not None]),
    ]


EARLY = [
    *(f'loss: {condition}' for condition in CONDITIONS),
    'features find a patch, %',
    'attention finds it, best layer, %',
    '(chance)',
    'attention to other frame, %',
]


def write_report(
    out: Path,
    folder: Path,
    settings: dict[str, Any],
    names: list[str],
    ablations: dict[str, dict],
    sides: Sequence[int],
) -> None:
    """Write ``results.json``, ``table.md`` and the plots.

    Args:
        out: Folder of compare_methods.
        folder: Output folder.
        settings: Settings of the experiment, with ``seeds``.
        names: Names of all jobs.
        ablations: As in compare_methods.
        sides: Input sizes of frozen evaluation, that of the curves first.
    """
    results, seeds = Results(out, names), settings['seeds']
    folder.mkdir(parents=True, exist_ok=True)
    with atomic_write(folder / 'results.json') as part:
        part.write_text(json.dumps(dict(settings=settings, results=results.all), indent=1) + '\n')
    lines = ['# All figures', '', f'Written by `{settings["command"]}`; all figures: results.json.']

    rows = []
    methods = results.methods
    for method in methods:
        job = f'pretrain-{method}-{{}}'
        steps, pictures = (results.values(job, seeds, key) for key in ('steps', 'pictures'))
        seconds = results.values(job, seeds, 'seconds_a_step')
        cpu = [results.all[job.format(seed)]['cpu_seconds'] for seed in seeds if job.format(seed) in results.all]
        losses = [loss[-1][1] for loss in results.values(job, seeds, 'val_loss') if loss]
        rows.append([NAMES[method], show(steps, 0), show(pictures, 0), show(seconds, 2), show(cpu, 0), show(losses, 3)])
    header = ['method', 'steps', 'pictures', 'seconds a step', 'CPU seconds', 'held-out loss']
    write_table(lines, 'Pre-training', header, rows)

    rows = []
    for method in dict.fromkeys(RANDOM[method] for method in methods):
        rows.append([random_name(method, RANDOM, results.methods), *early_row(results, f'random-{method}-{{}}', seeds)])
    rows += [[NAMES[method], *early_row(results, f'{method}-{{}}', seeds)] for method in methods]
    write_table(lines, 'Early measures, held-out frames', ['weights', *EARLY], rows)

    encoders = dict.fromkeys(RANDOM_ENCODER[method] for method in methods)
    names = {method: NAMES[method] for method in methods}
    labels = {f'random-{method}': random_name(method, RANDOM_ENCODER, methods) for method in encoders} | names
    header = ['weights', *(f'{protocol}, {side} px' for protocol in PROTOCOLS for side in sides)]
    rows = [
        [
            text,
            *(
                show(results.values(f'frozen{side}-{label}-{{}}', seeds, protocol, 'J&F-Mean'))
                for protocol in PROTOCOLS
                for side in sides
            ),
        ]
        for label, text in labels.items()
    ]
    write_table(lines, 'Frozen: J&F of label propagation', header, rows)

    scores = ['pairs/iou', 'sot/success', 'sot/precision'], ['vos/J&F-Mean', 'vos/J-Mean', 'vos/F-Mean']
    header = [
        'initialization',
        'tracker: single-frame localization IoU',
        'success',
        'precision',
        'loss',
        'DropSeg: J&F',
        'J',
        'F',
        'loss',
    ]
    rows = []
    for label, text in dict(random='random', **names).items():
        row = [text]
        for kind, columns in zip(('track', 'segment'), scores):
            row += [show(results.values(f'{kind}-{label}-{{}}', seeds, column)) for column in columns]
            row.append(show(results.values(f'{kind}-{label}-{{}}', seeds, 'final_loss'), 3))
        rows.append(row)
    if any(name.startswith(('track-', 'segment-')) for name in results.all):
        write_table(lines, 'Fine-tuned', header, rows)

    ablated = any(name.startswith('early-short') for name in results.all)
    for title, values in ablations.items() if ablated else ():
        header = [title, *EARLY, *(f'frozen J&F, {protocol}' for protocol in PROTOCOLS)]
        rows = [
            [
                value,
                *early_row(results, f'short-{name}-{{}}', seeds[:1]),
                *(
                    show(results.values(f'frozen{sides[0]}-short-{name}-{{}}', seeds[:1], protocol, 'J&F-Mean'))
                    for protocol in PROTOCOLS
                ),
            ]
            for value, (name, _, _) in values.items()
        ]
        write_table(lines, title, header, rows)
    with atomic_write(folder / 'table.md') as part:
        part.write_text('\n'.join(lines) + '\n')

    save(plot_losses(results, seeds), folder / 'loss.png')
    save(plot_curves(results, seeds, sides[0]), folder / 'frozen.png')
    save(plot_correspondence(results, seeds), folder / 'correspondence.png')
    save(plot_attention(results, seeds), folder / 'attention.png')
    save(plot_past(results, seeds), folder / 'past.png')
    if ablated:
        save(plot_ablations(results, seeds[:1], ablations, sides[0]), folder / 'ablations.png')


def save(figure: Figure, path: Path) -> None:
    with atomic_write(path) as part:
        figure.savefig(part, dpi=90, format='png')


def panels(count: int) -> tuple[Figure, list[Axes]]:
    figure = Figure(figsize=(4.5 * count, 3.6), layout='constrained')
    axes = figure.subplots(1, count, squeeze=False)[0].tolist()
    for panel in axes:
        panel.grid(alpha=0.3)
    return figure, axes


def add_legend(panel: Axes, **options: Any) -> None:
    """Add a legend unless nothing is drawn yet."""
    if panel.get_legend_handles_labels()[0]:
        panel.legend(**dict(fontsize=8) | options)


def plot_losses(results: Results, seeds: Sequence[int]) -> Figure:
    """Plot the held-out loss over steps, with the training loss in the background."""
    figure, (axes,) = panels(1)
    axes.set(xlabel='step', ylabel='loss (normalized pixels)')
    for method in results.methods:
        job = f'pretrain-{method}-{{}}'
        for kind, style in dict(train_loss=dict(alpha=0.3), val_loss=dict(marker='o')).items():
            for number, losses in enumerate(results.values(job, seeds, kind)):
                if losses:
                    label = NAMES[method] if kind == 'val_loss' and not number else None
                    axes.plot(*np.array(losses).T, color=COLORS[method], label=label, **style)
    add_legend(axes)
    return figure


def over_training(
    results: Results, kind: str, method: str, random: str, seed: int, value: Callable[[dict[str, Any]], float | None]
) -> list[tuple[float, float]]:
    """Steps and values of a method's checkpoints, from random weights on. Those of a pre-training that was stopped are
    among them if another seed has all its steps.

    Args:
        results: Results of all jobs.
        kind: Beginning of the names of the jobs.
        method: Method.
        random: Method whose random weights it starts from.
        seed: Seed.
        value: Reads the value of a result, or None if it has none.
    """
    steps = {f'{kind}-random-{random}-{seed}': 0.0}
    prefix = f'{kind}-{method}-{seed}'
    own = results.all.get(f'pretrain-{method}-{seed}')
    others = (result for name, result in results.all.items() if name.startswith(f'pretrain-{method}-'))
    if run := own or next(others, None):
        stops = (f'{prefix}-epoch', f'{prefix}-part') if own else f'{prefix}-epoch'
        names = [name for name in results.all if name == prefix or name.startswith(stops)]
        steps |= {name: step_of(run, name.removeprefix(prefix)) for name in names}
    points = [(step, value(results.all[name]['result'])) for name, step in steps.items() if name in results.all]
    return sorted((step, point) for step, point in points if point is not None)


def plot_curves(results: Results, seeds: Sequence[int], side: int) -> Figure:
    """Frozen J&F over steps in each protocol, from random weights (dashed) on."""
    figure, axes = panels(len(PROTOCOLS))
    for panel, protocol in zip(axes, PROTOCOLS):
        panel.set(xlabel='step', ylabel='J&F', title=protocol)

        def value(result: dict[str, Any], protocol: str = protocol) -> float | None:
            return result.get(protocol, {}).get('J&F-Mean')

        draw_over_training(panel, results, f'frozen{side}', RANDOM_ENCODER, seeds, value)
    return figure


def plot_correspondence(results: Results, seeds: Sequence[int]) -> Figure:
    """Correspondence over steps, from random weights (dashed) on: patches that features and attention find under known
    motion, the loss that is added by an earlier frame of another clip, and the loss that is added if the later frame is
    shown as the earlier one, one patch to the side. The last one is near 0 for a model that matches patches,
    or does not use the earlier frame."""
    figure, (features, attention, loss, moved) = panels(4)
    features.set(ylabel='moved patches found by features, %', title='last layer of the encoder')
    attention.set(ylabel='moved patches found by attention, %', title='best layer of the decoder')
    loss.set(ylabel='added loss', title='earlier frame of another clip')
    moved.set(ylabel='added loss', title='earlier frame: a copy, moved by a patch')

    def added(result: dict[str, Any], condition: str, base: str) -> float | None:
        losses = result['loss']
        return losses[condition] - losses[base] if condition in losses else None

    values: dict[Axes, Callable[[dict[str, Any]], float | None]] = {
        features: lambda result: 100 * result['feature_accuracy'][-1],
        attention: lambda result: result['attention_accuracy'] and 100 * max(result['attention_accuracy']),
        loss: lambda result: added(result, 'foreign', 'true'),
        moved: lambda result: added(result, 'moved', 'identical'),
    }
    for panel, value in values.items():
        panel.set(xlabel='step')
        draw_over_training(panel, results, 'early', RANDOM, seeds, value)
    for panel, chance in ((features, 'feature_chance'), (attention, 'attention_chance')):
        shares = [
            share for method in results.methods for share in results.values(f'early-{method}-{{}}', seeds, chance)
        ]
        if shares:
            panel.axhline(100 * float(np.mean(shares)), color='k', linestyle=':', label='chance')
            add_legend(panel)
    return figure


def draw_over_training(
    panel: Axes,
    results: Results,
    kind: str,
    starts: dict[str, str],
    seeds: Sequence[int],
    value: Callable[[dict[str, Any]], float | None],
) -> None:
    """Draw :func:`over_training` of all methods. ``starts`` has the method whose random weights each starts from."""
    for method in results.methods:
        random = starts[method]
        curves = [over_training(results, kind, method, random, seed, value) for seed in seeds]
        if begins := [points[0][1] for points in curves if points and points[0][0] == 0]:
            panel.axhline(np.mean(begins), color=COLORS[random], linestyle='--', alpha=0.6)
        label = NAMES[method]
        for points in filter(None, curves):
            panel.plot(*zip(*points), marker='o', color=COLORS[method], label=label)
            label = None
    add_legend(panel)


def step_of(run: dict[str, Any], stop: str) -> float:
    """Step of a checkpoint of a pre-training: ``-epoch<n>``, ``-part<n>``, or empty for the last one."""
    result, number = run['result'], int(re.sub(r'\D', '', stop) or 0)
    if stop.startswith('-part'):
        return result['part_steps'][number - 1]
    return result['steps'] * number / run['arguments']['epochs'] if number else result['steps']


def attention_share(result: dict[str, Any]) -> float | None:
    """Per cent of a decoder's attention that is to the other frame, the mean of its layers. None without attention."""
    layers = result['attention_other']
    return 100 * float(np.mean(layers)) if layers else None


def plot_attention(results: Results, seeds: Sequence[int]) -> Figure:
    """Plot attention to the other frame over steps, from random weights (dashed) on; then the same, and how often it
    finds a moved patch, by layer of the decoder."""
    figure, (share, mass, found) = panels(3)
    share.set(xlabel='step', ylabel='attention to the other frame, %', title='mean of the layers')
    draw_over_training(share, results, 'early', RANDOM, seeds, attention_share)
    mass.set(xlabel='layer of the decoder', ylabel='attention to the other frame, %', title='after training')
    found.set(xlabel='layer of the decoder', ylabel='moved patches found by attention, %', title='after training')
    for method in results.methods:
        for prefix, style in {'': dict(marker='o'), 'random-': dict(linestyle='--', alpha=0.6)}.items():
            job = f'early-{prefix}{method}-{{}}'
            for panel, key in ((mass, 'attention_other'), (found, 'attention_accuracy')):
                if layers := results.values(job, seeds, key):
                    label = random_name(method, RANDOM, results.methods) if prefix else NAMES[method]
                    panel.plot(100 * np.mean(layers, axis=0), color=COLORS[method], label=label, **style)
            if not prefix and (chance := results.values(job, seeds, 'attention_chance')):
                found.axhline(100 * np.mean(chance), color=COLORS[method], linestyle=':')
    for panel in (mass, found):
        panel.xaxis.set_major_locator(MaxNLocator(integer=True))
        add_legend(panel)
    return figure


def plot_past(results: Results, seeds: Sequence[int]) -> Figure:
    """Plot the loss with another earlier frame, and matching by features in each layer."""
    figure, (past, features) = panels(2)
    methods = results.methods
    past.set(
        ylabel='loss on the later frame',
        xticks=range(len(methods)),
        xticklabels=[NAMES[method] for method in methods],
    )
    width = 0.8 / len(CONDITIONS)
    for number, condition in enumerate(CONDITIONS):
        label = f'earlier frame: {condition}'
        for place, method in enumerate(methods):
            values = results.values(f'early-{method}-{{}}', seeds, 'loss', condition)
            if values:
                x = place + width * (number - (len(CONDITIONS) - 1) / 2)
                past.bar(x, np.mean(values), width, color=f'C{number + 4}', label=label)
                label = None
    past.set_ylim(top=1.4 * past.get_ylim()[1])
    add_legend(past, ncols=2)
    features.set(xlabel='layer of the encoder', ylabel='moved patches found by features')
    for method in results.methods:
        for prefix, style in {'': dict(marker='o'), 'random-': dict(linestyle='--', alpha=0.6)}.items():
            layers = results.values(f'early-{prefix}{method}-{{}}', seeds, 'feature_accuracy')
            if layers:
                label = random_name(method, RANDOM, results.methods) if prefix else NAMES[method]
                features.plot(np.mean(layers, axis=0), color=COLORS[method], label=label, **style)
    add_legend(features, fontsize=7)
    return figure


def plot_ablations(results: Results, seeds: Sequence[int], ablations: dict[str, dict], side: int) -> Figure:
    """Plot frozen J&F and the added loss with another clip's past frame for each value."""
    figure = Figure(figsize=(4 * len(ablations), 5), layout='constrained')
    rows = figure.subplots(2, len(ablations), sharex='col', sharey='row', squeeze=False)
    rows[0][0].set_ylabel('frozen J&F')
    rows[1][0].set_ylabel('loss: foreign - true')
    for (score, cost), (title, values) in zip(rows.T, ablations.items()):
        score.set_title(title)
        cost.set_xticks(range(len(values)), list(values))
        for panel in (score, cost):
            panel.grid(alpha=0.3)
        for place, (name, _, _) in enumerate(values.values()):
            for number, protocol in enumerate(PROTOCOLS):
                for value in results.values(f'frozen{side}-short-{name}-{{}}', seeds, protocol, 'J&F-Mean'):
                    label = None if place else protocol
                    score.plot(place, value, 'o', color=f'C{number}', label=label)
            losses = (results.values(f'early-short-{name}-{{}}', seeds, 'loss', kind) for kind in ('foreign', 'true'))
            for foreign, true in zip(*losses):
                cost.bar(place, foreign - true, 0.5, color='C2')
    add_legend(rows[0][0])
    return figure
