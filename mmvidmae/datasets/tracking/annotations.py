"""Readers for the annotation files of tracking sequences, in the formats of the datasets."""

import re
from pathlib import Path

import numpy as np

_LABEL = re.compile(r'\s*"[^"]*"\s*$')


def read_boxes(path: str | Path, one_based: bool = False) -> np.ndarray:
    """Read the boxes of a sequence.

    Each line describes one frame, with numbers separated by commas, tabs or spaces. Its format is one of

    - x, y, w, h;
    - the four corners of a polygon (8 numbers), of which the axis-aligned bounding box is used;
    - a VATIC line (NFS as downloaded): ``track x1 y1 x2 y2 ... "label"``.

    A frame without a target has NaN or a box of zero size.

    Args:
        path: Path of the file.
        one_based: Whether pixel coordinates start at 1, as in the files of OTB and LaSOT.

    Returns:
        ``(T, 4)`` float64 (x, y, w, h) in pixels, NaN in frames without a target.

    Raises:
        ValueError: If the file is missing or empty, or a line has another format. The message names file and line.
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
    """Read integers separated by commas, spaces or line breaks: ``(T,)`` int64.

    Raises:
        ValueError: If the file is missing or empty, or contains anything but integers.
    """
    try:
        return np.array([int(value) for value in re.split(r'[,\s]+', '\n'.join(read_lines(path)).strip(' ,\n'))])
    except ValueError as error:
        raise ValueError(f'{path}: expected whole numbers, {error}') from error


def read_lines(path: str | Path) -> list[str]:
    """Read the lines of a text file, without a byte order mark and without empty lines at the end.

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
