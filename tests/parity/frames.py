"""Tables of drawn frames (``frames/table``) against ``SampleFrames``."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from mmvidmae.datasets import SampleFrames

from .report import Report


class RecordedDraws:
    """Stands for a generator: checks the bounds of each integer draw and answers with the recorded value.

    Args:
        integers: ``(low, high, value)`` of each draw, inclusive. -1 as ``low`` ends the list. Draws of a single
            possible value are left out on both sides.
        chosen: Frames that :meth:`choice` returns.
    """

    def __init__(self, integers: Iterable[Sequence[int]], chosen: Sequence[int] = ()) -> None:
        self.integers_left = [tuple(map(int, draw)) for draw in integers if draw[0] >= 0 and draw[0] < draw[1]]
        self.chosen = chosen
        self.wrong: list[str] = []

    def integers(self, low: int, high: int, endpoint: bool) -> int:
        """Answer a draw."""
        assert endpoint
        if low == high:
            return int(low)
        expected = self.integers_left.pop(0) if self.integers_left else None
        if expected is None or expected[:2] != (low, high):
            self.wrong.append(f'drew from {low}..{high}, recorded {expected}')
            return int(low)
        return expected[2]

    def choice(self, num_frames: int, size: int, replace: bool) -> np.ndarray:
        """Answer a draw of different frames."""
        assert not replace
        assert size == len({*self.chosen})
        assert max(self.chosen) < num_frames
        return np.array(self.chosen)[::-1]


def compare_frames(
    report: Report,
    name: str,
    sampler: SampleFrames,
    num_frames: int,
    draws: Iterable[Sequence[int]],
    expected: Sequence[int],
) -> None:
    """Compare the frames of one clip, given the draws; the bounds and the order of the draws count too.

    Args:
        report: Report to add to.
        name: Name of the comparison.
        sampler: The sampler.
        num_frames: Length of the video.
        draws: ``(low, high, value)`` of each integer drawn, inclusive; (-1, -1, -1) is none.
        expected: The frames read.
    """
    rng = RecordedDraws(draws, expected)
    frames = sampler(dict(reader=range(num_frames), num_pairs=1, rng=rng))['frame_ids'][0]
    if rng.wrong or rng.integers_left:
        report.add(f'{name}: {"; ".join(rng.wrong) or f"not drawn: {rng.integers_left}"}', np.inf, 0, 'abs')
    report.compare(name, frames, np.asarray(expected))


def compare_table(report: Report, table: np.ndarray, num_frames: int, **options: Any) -> None:
    """Compare a table of clips of ``num_frames`` frames whose start leaves room for the largest gaps (RSP, CatMAE).

    Args:
        report: Report to add to.
        table: Rows of the video's length, ``(low, high, value)`` of the start and of each gap, and the frames. -1 where
            the video is short. The bounds of the gaps are read from the table.
        num_frames: Frames of a clip.
        **options: Of the sampler.
    """
    draws = table[:, 1 : 1 + 3 * num_frames].reshape(len(table), num_frames, 3)
    drawn = draws[draws[:, 0, 0] >= 0]
    ((lo, hi),) = {tuple(map(int, bounds)) for bounds in drawn[:, 1:, :2].reshape(-1, 2)}
    sampler = SampleFrames((lo, hi), 'room', num_frames=num_frames, short='different', **options)
    for row, recorded in zip(table, draws):
        compare_frames(report, f'frames/table {row[0]}', sampler, int(row[0]), recorded, row[-num_frames:].tolist())
