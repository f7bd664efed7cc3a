"""Loss curves from the logs of a run."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np


class Losses(NamedTuple):
    """What the logs of one work dir say; every array is ``(points, 2)`` with iterations in its first column.

    Attributes:
        train: Training loss.
        val: ``reconstruction/mse`` on held-out pairs.
        constant: ``reconstruction/constant_mse``, the same for the constant predictor.
    """

    train: np.ndarray
    val: np.ndarray
    constant: np.ndarray


class Scalars(NamedTuple):
    """What the logs of one work dir say, by name; every array is ``(points, 2)`` with iterations in its first column.

    Attributes:
        train: Values of training, such as ``loss``, ``lr``, ``time`` and ``data_time`` (seconds).
        val: Values of validations.
    """

    train: dict[str, np.ndarray]
    val: dict[str, np.ndarray]


def read_scalars(work_dir: str | Path) -> Scalars:
    """Read MMEngine's ``<work_dir>/<time>/vis_data/scalars.json`` of a run and of those that resumed it.

    What a run had logged beyond the checkpoint from which the next one went on is replaced by the latter's lines.

    Raises:
        ValueError: If the folder holds no training log.
    """
    train: dict[int, dict] = {}
    val: dict[int, dict] = {}
    for file in sorted(Path(work_dir).glob('*/vis_data/scalars.json')):
        lines = _read_lines(file)
        steps = [line['step'] for line in lines if 'loss' in line]
        if not steps:  # a test run
            continue
        train = {step: line for step, line in train.items() if step < steps[0]}
        val = {step: line for step, line in val.items() if step < steps[0]}
        last = 0
        for line in lines:
            if 'loss' in line:
                last = line['step']
                train[last] = line
            else:  # its own step counts epochs in epoch-based runs
                val[last] = {**val.get(last, {}), **line}
    if not train:
        raise ValueError(f'{work_dir}: no training log (*/vis_data/scalars.json) found')
    return Scalars(_columns(train), _columns(val))


def _columns(lines: dict[int, dict]) -> dict[str, np.ndarray]:
    """Arrays (points, 2) of step and value by name."""
    names = dict.fromkeys(name for line in lines.values() for name in line)
    return {
        name: np.array([(step, line[name]) for step, line in lines.items() if name in line], float)
        for name in names
        if name not in ('step', 'iter', 'epoch')
        and all(isinstance(line.get(name, 0), int | float) for line in lines.values())
    }


def read_losses(work_dir: str | Path) -> Losses:
    """Read the losses of a run, see :func:`read_scalars`.

    Raises:
        ValueError: If the folder holds no training log.
    """
    train, val = read_scalars(work_dir)
    none = np.empty((0, 2))
    held_out = (val.get(f'reconstruction/{name}', none) for name in ('mse', 'constant_mse'))
    return Losses(train['loss'], *held_out)


def _read_lines(file: Path) -> list[dict]:
    lines = []
    for line in file.read_text('utf-8').splitlines():
        try:
            lines.append(json.loads(line))
        except json.JSONDecodeError:  # a killed run may leave half a line
            continue
    return lines


def plot_losses(work_dirs: Sequence[str | Path], path: str | Path) -> None:
    """Draw the training loss, held-out error and constant predictor of runs into one image.

    The training loss is smoothed by a running mean over 2 % of its points. The constant predictor, a dashed line, is
    what a model reaches that knows each hidden patch's mean color and nothing else.

    Args:
        work_dirs: Work dirs of runs, see :func:`read_losses`.
        path: Image to write; its suffix chooses the format.
    """
    from matplotlib.figure import Figure  # slow to import

    figure = Figure(figsize=(8, 5), layout='constrained')
    axes = figure.add_subplot(xlabel='iteration', ylabel='normalized-pixel MSE on hidden patches')
    for number, work_dir in enumerate(work_dirs):
        losses, name, color = read_losses(work_dir), Path(work_dir).resolve().name, f'C{number}'
        window = max(1, len(losses.train) // 50)
        mean = np.ones(window) / window
        smooth = [np.convolve(column, mean, mode='valid') for column in losses.train.T]
        axes.plot(*smooth, color=color, alpha=0.6, label=f'{name}: training')
        if len(losses.val):
            axes.plot(*losses.val.T, color=color, marker='o', markersize=4, label=f'{name}: held-out')
            axes.axhline(losses.constant[:, 1].mean(), color=color, linestyle='--', label=f'{name}: constant predictor')
    axes.legend()
    axes.grid(alpha=0.3)
    figure.savefig(path, dpi=120)
