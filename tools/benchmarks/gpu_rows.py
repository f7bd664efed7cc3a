"""Rows of the GPU report, one per measurement, in a JSON file that is complete at any time."""

import json
import platform
import sys
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from mmvidmae.utils.files import atomic_write

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / 'experiments'))

from records import git_commit


@cache
def versions() -> dict[str, str]:
    """Versions of the packages that influence the figures."""
    found = dict(python=platform.python_version(), torch=torch.__version__, cuda=torch.version.cuda or 'none')
    for name in ('mmengine', 'mmcv', 'mmpretrain', 'numpy'):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = 'unknown'
    return found


@cache
def device_name() -> str:
    """Name of the GPU, or the number of CPU threads."""
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    return f'CPU ({platform.machine()}), {torch.get_num_threads()} threads'


class Rows:
    """Adds rows to a report.

    Args:
        path: JSON file, a list of rows.
        commit: Of the tree; None for what Git says.
        part: Which part of the report measures.
    """

    def __init__(self, path: Path, commit: str | None = None, part: str = '') -> None:
        self.path, self.commit, self.part = path, commit or git_commit(), part

    def read(self) -> list[dict[str, Any]]:
        return json.loads(self.path.read_text())

    def clear(self) -> None:
        self._write([])

    def add(
        self,
        what: str,
        *,
        shapes: str = '',
        dtype: str = '',
        unit: str = '',
        reference: float | None = None,
        ours: float | None = None,
        ratio: float | None = None,
        memory_gib: float | None = None,
        error: str | None = None,
        **more: Any,
    ) -> None:
        """Add a measurement.

        Args:
            what: What was measured.
            shapes: Of the model and its input.
            dtype: ``float32``, ``float16`` or ``bfloat16``.
            unit: Of ``reference`` and ``ours``.
            reference: Figure of what ours is compared with.
            ours: Our figure.
            ratio: How many times as fast ours is, or as the row's ``meaning`` says.
            memory_gib: Peak memory in GiB.
            error: Why there is no figure.
            **more: Anything else that JSON holds.
        """
        row = dict(
            part=self.part,
            what=what,
            shapes=shapes,
            dtype=dtype,
            unit=unit,
            reference=reference,
            ours=ours,
            ratio=ratio,
            memory_gib=memory_gib,
            **more,
            error=error,
            device=device_name(),
            versions=versions(),
            commit=self.commit,
        )
        print(json.dumps({key: value for key, value in row.items() if value not in (None, '')}), flush=True)
        self._write([*self.read(), row])

    def _write(self, rows: list[dict[str, Any]]) -> None:
        with atomic_write(self.path) as part:
            part.write_text(json.dumps(rows, indent=1) + '\n')


def table(rows: list[dict[str, Any]]) -> str:
    """Format a report as a Markdown table, after a line with device, versions and commit."""

    def number(value: float | None) -> str:
        if value is None:
            return ''
        return f'{value:.1e}' if value and abs(value) < 1e-3 else f'{value:.4g}'

    lines = []
    if rows:
        row = rows[-1]
        used = ', '.join(f'{name} {version}' for name, version in row['versions'].items())
        lines = [f'{row["device"]}; {used}; commit {row["commit"]}.', '']
    lines += [
        '| part | what | shapes | dtype | unit | reference | ours | ratio | GiB |',
        '|---|---|---|---|---|---:|---:|---:|---:|',
    ]
    for row in rows:
        cells = [row[key] for key in ('part', 'what', 'shapes', 'dtype', 'unit')]
        figures = [number(row[key]) for key in ('reference', 'ours', 'ratio', 'memory_gib')]
        if row['error']:
            figures[1] = f'not measured: {row["error"]}'
        lines.append('| ' + ' | '.join(str(cell).replace('|', '/') for cell in [*cells, *figures]) + ' |')
    return '\n'.join(lines)
