"""Batches of frame pairs of a video."""

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
    SampleFrames,
    VideoFileReader,
    pair_collate,
)

Pairs = int | Sequence[tuple[int, int]]


class PairBatches:
    """Batches of pairs of a video, resized and center-cropped. The seed alone determines them, in every pass.

    Args:
        video: Name of the video, for data samples and errors.
        reader: The open clip.
        pairs: Number of random pairs, or the frame numbers (past, future) of each pair.
        gap: Smallest and largest gap of a random pair, in frames.
        size: Frame size ``(H, W)`` in pixels.
        batch_size: Pairs per batch.
        seed: Seed of the random pairs and of their masks.

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
            draw = SampleFrames(gap, draw_first='gap')
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
        rng = copy.deepcopy(self.rng)  # every pass has the same masks
        for frame_ids in self.batches:
            item = self.load(dict(reader=self.reader, frame_ids=frame_ids, rng=rng, video_path=str(self.video)))
            yield pair_collate([item])


def open_clip(video: str | Path) -> ClipReader:
    """Open a video file or a folder of frames.

    Raises:
        VideoReadError: If it cannot be read.
    """
    return (FrameFolderReader if Path(video).is_dir() else VideoFileReader)(str(video))
