"""Write one HTML page about a run: curves, reconstructions over time, scores, skipped clips, speed, memory, config.

The page needs no other file and no network. Several work dirs are shown side by side, with the differences of their
configs. With one, the config is compared with the package's config of the same name, or with ``--base``.

Example:
    python tools/analysis_tools/report_run.py work_dirs/my_siammae
    python tools/analysis_tools/report_run.py work_dirs/one work_dirs/other -o comparison.html
"""

import argparse
import base64
import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmvidmae.utils.interrupt import leave_on_interrupt

if TYPE_CHECKING:
    from mmvidmae.visualization import Scalars

IMAGES = 4
"""Number of images over time of each kind."""
SKIPPED = 20
"""Largest number of skipped clips that are listed."""


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('work_dirs', nargs='+', type=Path, metavar='WORK_DIR', help='work dir of a run')
    parser.add_argument('-o', '--out', type=Path, help='page to write (default: WORK_DIR/report.html)')
    parser.add_argument('--base', help='config to compare with the config of a single run')
    return parser


if __name__ == '__main__':
    make_parser().parse_args()  # answers --help and refuses mistakes before the imports below, which take seconds

import jinja2  # noqa: E402
import numpy as np  # noqa: E402
from matplotlib.figure import Figure  # noqa: E402
from mmengine.config import Config  # noqa: E402
from PIL import Image  # noqa: E402

from mmvidmae.engine.hooks.schedule_hook import compare_configs  # noqa: E402
from mmvidmae.utils.files import atomic_write  # noqa: E402
from mmvidmae.visualization import read_scalars  # noqa: E402

PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>{{ title }}</title><style>
body { font: 15px/1.5 system-ui, sans-serif; margin: 2em auto; max-width: 1200px; padding: 0 1em; color: #222 }
table { border-collapse: collapse }
th, td { border: 1px solid #ccc; padding: .3em .7em; text-align: left; vertical-align: top }
.curves { display: grid; grid-template-columns: repeat(auto-fill, minmax(480px, 1fr)); gap: 1em }
.runs { display: flex; gap: 2em; flex-wrap: wrap } .runs > div { flex: 1; min-width: 300px }
img { max-width: 100% } figure { margin: 1em 0 }
pre { background: #f6f6f6; padding: 1em; overflow: auto; max-height: 30em }
</style></head><body>
<h1>{{ title }}</h1>
<table><tr><th></th>{% for run in runs %}<th>{{ run.name }}</th>{% endfor %}</tr>
{% for key in keys %}<tr><th>{{ key }}</th>{% for run in runs %}<td>{{ run.facts.get(key, '-') }}</td>{% endfor %}</tr>
{% endfor %}</table>
<h2>Curves</h2>
<div class="curves">{% for name, curve in curves.items() %}<img src="{{ curve }}" alt="{{ name }}">
{% endfor %}</div>
<h2>Images over time</h2>
<div class="runs">{% for run in runs %}<div><h3>{{ run.name }}</h3>
{% for caption, image in run.images %}<figure>
<img src="{{ image }}" alt="{{ caption }}"><figcaption>{{ caption }}</figcaption></figure>
{% else %}<p>The run wrote no images.</p>{% endfor %}</div>{% endfor %}</div>
<h2>Skipped clips</h2>
<div class="runs">{% for run in runs %}<div><h3>{{ run.name }}</h3>
{% if run.skipped %}<pre>{{ run.skipped }}</pre>{% else %}<p>None.</p>{% endif %}</div>{% endfor %}</div>
<h2>Config</h2>
<p>{{ compared }}</p>
{% if differences %}<pre>{{ differences }}</pre>{% endif %}
{% for run in runs %}<details><summary>Config of {{ run.name }}</summary><pre>{{ run.config }}</pre></details>
{% endfor %}
</body></html>
"""


def embed(data: bytes, kind: str) -> str:
    """Data as a URL that holds them."""
    return f'data:image/{kind};base64,{base64.b64encode(data).decode()}'


def newest(work_dir: Path, pattern: str) -> Path | None:
    """The newest file of a pattern."""
    return max(work_dir.glob(pattern), key=lambda path: path.stat().st_mtime, default=None)


def facts_of(work_dir: Path, scalars: 'Scalars') -> dict[str, str]:
    """What a table says about a run."""
    train, val = scalars
    last = work_dir / 'last_checkpoint'
    (first, start), (end, loss) = train['loss'][[0, -1]]
    facts = {
        'iterations': f'{end:.0f}',
        'training loss': f'{start:.4g} at iteration {first:.0f}, {loss:.4g} at the end',
        'latest checkpoint': last.read_text('utf-8').strip() if last.exists() else 'none',
    }
    for name, points in val.items():
        if name not in ('time', 'data_time') and len(points):
            best = f'{points[0, 1]:.4g}, then {points[-1, 1]:.4g}' if len(points) > 1 else f'{points[-1, 1]:.4g}'
            facts[name] = f'{best} ({len(points)} validations)'
    if 'time' in train:
        seconds = np.median(train['time'][:, 1])
        facts['seconds an iteration, median'] = f'{seconds:.3g}'
        if 'data_time' in train:
            facts['of which waiting for data'] = f'{np.median(train["data_time"][:, 1]) / seconds:.1%}'
    if 'memory' in train:
        facts['largest GPU memory'] = f'{train["memory"][:, 1].max():.0f} MB'
    return facts


def images_of(work_dir: Path) -> list[tuple[str, str]]:
    """Captions and images of a run, over time."""
    kinds: dict[str, list[tuple[int, Path]]] = {}
    for path in work_dir.glob('*/vis_data/vis_image/*.png'):
        kind, _, step = path.stem.rpartition('_')
        if step.isdecimal():
            kinds.setdefault(kind, []).append((int(step), path))
    found = []
    for kind, paths in sorted(kinds.items()):
        paths.sort()
        for place in np.unique(np.linspace(0, len(paths) - 1, IMAGES).round().astype(int)):
            step, path = paths[place]
            file = io.BytesIO()
            with Image.open(path) as image:
                image.convert('RGB').save(file, 'JPEG', quality=85)
            found.append((f'{kind}, step {step}', embed(file.getvalue(), 'jpeg')))
    return found


def skipped_of(work_dir: Path) -> list[str]:
    """The skipped clips with reasons."""
    path = work_dir / 'skipped_videos.txt'
    return path.read_text('utf-8', 'backslashreplace').splitlines() if path.exists() else []


def draw_curves(names: list[str], runs: list['Scalars']) -> dict[str, str]:
    """A plot of each logged value, of all runs: losses, then scores, then rates and times."""
    drawn: dict[str, list[np.ndarray | None]] = {}
    for kind in ('train', 'val'):
        values = [getattr(run, kind) for run in runs]
        for key in dict.fromkeys(key for value in values for key in value):
            if key not in ('base_lr', 'skipped_videos') and (kind == 'train' or key not in ('time', 'data_time')):
                drawn[key] = [value.get(key) for value in values]
    curves = {}
    for key in sorted(drawn, key=lambda key: (key in ('lr', 'time', 'data_time', 'memory'), 'loss' not in key)):
        figure = Figure(figsize=(6, 3), layout='constrained')
        axes = figure.add_subplot(xlabel='iteration', ylabel=key)
        for name, points in zip(names, drawn[key], strict=True):
            if points is not None:
                axes.plot(*points.T, marker='o' if len(points) < 30 else None, markersize=3, label=name)
        axes.legend()
        axes.grid(alpha=0.3)
        file = io.BytesIO()
        figure.savefig(file, format='png', dpi=90)
        curves[key] = embed(file.getvalue(), 'png')
    return curves


def config_of(work_dir: Path) -> str:
    """Text of the config of the latest run."""
    path = newest(work_dir, '*/vis_data/config.py')
    return path.read_text('utf-8') if path else ''


def base_of(work_dir: Path, base: str | None) -> tuple[str, str]:
    """Name and text of the config to compare with; empty if there is none."""
    configs = Path(__file__).resolve().parents[2] / 'configs'
    known = (path for dumped in sorted(work_dir.glob('*.py')) for path in configs.rglob(dumped.name))
    path = base or next(known, None)
    return (str(path), Config.fromfile(path).pretty_text) if path else ('', '')


def describe_run(name: str, work_dir: Path, scalars: 'Scalars') -> dict[str, Any]:
    """What the page says about a run."""
    skipped = skipped_of(work_dir)
    more = [f'... and {len(skipped) - SKIPPED} more'] * (len(skipped) > SKIPPED)
    return dict(
        name=name,
        facts=facts_of(work_dir, scalars) | {'skipped clips': str(len(skipped))},
        images=images_of(work_dir),
        skipped='\n'.join(skipped[:SKIPPED] + more),
        config=config_of(work_dir),
    )


def make_report(work_dirs: list[Path], base: str | None = None) -> str:
    """The page.

    Raises:
        OSError, ValueError: If a work dir has no training log, or the base config cannot be read.
    """
    scalars = [read_scalars(work_dir) for work_dir in work_dirs]
    names = [work_dir.resolve().name for work_dir in work_dirs]
    if len({*names}) < len(names):
        names = [str(work_dir) for work_dir in work_dirs]
    runs = [describe_run(*run) for run in zip(names, work_dirs, scalars, strict=True)]
    if len(runs) > 1:
        parts = [
            f'{names[0]} -> {run["name"]}:\n'
            + ('\n'.join(compare_configs(runs[0]['config'], run['config'])) or '  none')
            for run in runs[1:]
        ]
        compared, differences = 'Differences of the configs:', '\n\n'.join(parts)
    else:
        name, text = base_of(work_dirs[0], base)
        compared = f'Differences from {name}:' if name else 'The package has no config of this name; see --base.'
        differences = '\n'.join(compare_configs(text, runs[0]['config'])) if name else ''
        differences = differences or ('  none' if name else '')
    return (
        jinja2.Environment(autoescape=True)
        .from_string(PAGE)
        .render(
            title=' and '.join(names),
            runs=runs,
            keys=dict.fromkeys(key for run in runs for key in run['facts']),
            curves=draw_curves(names, scalars),
            compared=compared,
            differences=differences,
        )
    )


def main() -> None:
    parser = make_parser()
    args = parser.parse_args()
    out = args.out or args.work_dirs[0] / 'report.html'
    try:
        page = make_report(args.work_dirs, args.base)
        with atomic_write(out) as part:
            part.write_text(page, 'utf-8')
    except (OSError, ValueError) as error:
        parser.error(str(error))
    print(f'{out}: report of {" and ".join(map(str, args.work_dirs))}')


if __name__ == '__main__':
    with leave_on_interrupt('Nothing was written: run the same command again.'):
        main()
