"""Frame pairs of a video, as a model takes them."""

import copy
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from mmengine.dataset import Compose

from mmvidmae.datasets import (
    ClipReader,
    FrameFolderReader,
    LoadFramePairs,
    PackPairs,
    PairCenterCrop,
    PairResize,
    SampleFramePairs,
    VideoFileReader,
    pair_collate,
)

Pairs = int | Sequence[tuple[int, int]]


class PairBatches:
    """Batches of pairs of a video, resized and center-cropped; they follow from the seed alone, in every pass.

    Args:
        video: Its name, for the samples and for errors.
        reader: The open clip.
        pairs: How many random pairs, or the numbers (past, future) of their frames.
        gap: Smallest and largest number of frames between those of a random pair.
        size: ``(H, W)`` of the frames.
        batch_size: Pairs at a time.
        seed: Of the random pairs and of their masks.

    Raises:
        ValueError: If the video does not have these frames.
    """

    def __init__(
        self,
        video: str | Path,
        reader: ClipReader,
        pairs: Pairs,
        gap: tuple[int, int],
        size: tuple[int, int],
        batch_size: int,
        seed: int,
    ) -> None:
        self.rng = np.random.default_rng(seed)
        if isinstance(pairs, int):
            draw = SampleFramePairs(gap, draw_first='gap')
            frame_ids = draw(dict(reader=reader, num_pairs=pairs, rng=self.rng))['frame_ids']
        else:
            frame_ids = np.array(pairs)
        if not len(frame_ids):
            raise ValueError(f'pairs: expected at least one, got {pairs}')
        past, future = frame_ids.T
        if not ((past >= 0) & (past <= future) & (future < len(reader))).all():
            raise ValueError(
                f'pairs: expected 0 <= past <= future < {len(reader)}, the number of frames of {video}, got {pairs}'
            )
        self.video, self.reader = video, reader
        self.load = Compose([LoadFramePairs(), PairResize(size), PairCenterCrop(size), PackPairs()])
        self.batches = np.split(frame_ids, range(batch_size, len(frame_ids), batch_size))

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[dict]:
        rng = copy.deepcopy(self.rng)  # each pass has the same masks
        for frame_ids in self.batches:
            item = self.load(dict(reader=self.reader, frame_ids=frame_ids, rng=rng, video_path=str(self.video)))
            yield pair_collate([item])


def open_clip(video: str | Path) -> ClipReader:
    """Open a video file or a folder of frames.

    Raises:
        VideoReadError: If it cannot be read.
    """
    return (FrameFolderReader if Path(video).is_dir() else VideoFileReader)(str(video))
