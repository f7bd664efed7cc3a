"""Annotation files of tracking sequences, in the forms that the data sets have."""

import re
from pathlib import Path

import numpy as np

_LABEL = re.compile(r'\s*"[^"]*"\s*$')


def read_boxes(path: str | Path, one_based: bool = False) -> np.ndarray:
    """Read the boxes of a sequence.

    A line is a frame: x, y, w, h, or the corners of a polygon of 8 numbers, whose upright box is taken, or a line of
    VATIC (NFS as downloaded): ``track x1 y1 x2 y2 ... "label"``. Numbers are separated by commas, tabs or spaces. A
    frame without target has NaN, or a box of no size.

    Args:
        path: The file.
        one_based: Whether the first pixel is 1, as in the files of OTB and LaSOT.

    Returns:
        ``(T, 4)`` float64 (x, y, w, h) in pixels, NaN in frames without target.

    Raises:
        ValueError: If the file is missing or empty, or a line is of another form; names file and line.
    """
    lines = read_lines(path)
    boxes = np.full((len(lines), 4), np.nan)
    for number, line in enumerate(lines):
        plain, labels = _LABEL.subn('', line)
        try:
            values = [float(value) for value in re.split(r'[,\s]+', plain.strip(' \t,'))]
        except ValueError:
            values = []
        if labels and len(values) > 4:
            x1, y1, x2, y2 = values[1:5]
            values = [x1, y1, x2 - x1, y2 - y1]
        elif len(values) == 8:
            corners = np.reshape(values, (4, 2))
            values = [*corners.min(0), *np.ptp(corners, axis=0)]
        if len(values) != 4:
            raise ValueError(
                f'{path}, line {number + 1}: {line!r} is neither x,y,w,h nor a polygon of 8 numbers nor a line of VATIC'
            )
        boxes[number] = values
    boxes[:, :2] -= one_based
    boxes[~(np.isfinite(boxes).all(1) & (boxes[:, 2:] > 0).all(1))] = np.nan
    return boxes


def read_flags(path: str | Path) -> np.ndarray:
    """Read whole numbers, separated by commas, spaces or lines: ``(T,)`` int64.

    Raises:
        ValueError: If the file is missing or empty, or holds something else.
    """
    try:
        return np.array([int(value) for value in re.split(r'[,\s]+', '\n'.join(read_lines(path)).strip(' ,\n'))])
    except ValueError as error:
        raise ValueError(f'{path}: expected whole numbers, {error}') from error


def read_lines(path: str | Path) -> list[str]:
    """Lines of a text file, without empty ones at its end and a byte order mark.

    Raises:
        ValueError: If the file is missing, empty or not text.
    """
    try:
        lines = Path(path).read_text(encoding='utf-8-sig').splitlines()
    except OSError as error:
        raise ValueError(f'{path}: {error.strerror}') from error
    except UnicodeDecodeError as error:
        raise ValueError(f'{path}: not a text file in UTF-8') from error
    while lines and not lines[-1].strip():
        lines.pop()
    if not lines:
        raise ValueError(f'{path}: the file is empty')
    return lines
