"""Which clips an epoch visits, and the numbers that make each visit repeatable."""

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from mmengine.dist import get_dist_info, sync_random_seed
from torch.utils.data import Dataset, Sampler

from mmvidmae.registry import DATA_SAMPLERS


class Visit(NamedTuple):
    """What ``PairSampler`` hands to the dataset: a clip and all that its random draws depend on.

    Attributes:
        index: The clip's index in the dataset.
        epoch: The epoch of the visit.
        seed: The seed of the run.
    """

    index: int
    epoch: int
    seed: int


@DATA_SAMPLERS.register_module()
class PairSampler(Sampler):
    """Sampler for single and distributed runs whose epochs are *effective* epochs.

    With ``repeated_sampling=k`` a dataset gives k pairs at each visit of a clip. The papers count such a visit as k
    epochs, so one epoch of this sampler visits one k-th of the clips: a different part each time, all of them in k
    epochs. Pairs in an epoch, learning-rate schedules and intervals therefore do not depend on k.

    Ranks take every ``world_size``-th visit, so that the batches of all ranks together are those of one process with
    their total batch size.

    Args:
        dataset: A dataset; its attribute ``repeated_sampling`` is k, 1 if it has none.
        shuffle: For training. Without it every epoch visits all clips in their order and draws the same pairs, in
            every run.
        seed: Seed of the order and of the visits when ``shuffle`` is on; the same on all ranks. None: drawn by
            MMEngine and shared.
        round_up: Whether to repeat some clips so that all ranks have equally many.
    """

    def __init__(self, dataset: Dataset, shuffle: bool = True, seed: int | None = None, round_up: bool = True) -> None:
        self.rank, self.world_size = get_dist_info()
        self.shuffle = shuffle
        self.epoch = 0
        self.seed = (sync_random_seed() if seed is None else seed) if shuffle else 0
        self.num_clips = len(dataset)
        self.parts = getattr(dataset, 'repeated_sampling', 1) if shuffle else 1
        self.num_visits = math.ceil(self.num_clips / self.parts)  # of all ranks
        if round_up:
            self.num_visits = math.ceil(self.num_visits / self.world_size) * self.world_size

    def __iter__(self) -> Iterator[Visit]:
        epoch = self.epoch if self.shuffle else 0
        indices = np.resize(self._indices(epoch), self.num_visits)[self.rank :: self.world_size]
        return (Visit(index, epoch, self.seed) for index in indices.tolist())

    def _indices(self, epoch: int) -> np.ndarray:
        """The clips of an epoch before rounding up, array of shape (ceil(num_clips / parts),)."""
        if not self.shuffle:
            return np.arange(self.num_clips)
        cycle, part = divmod(epoch, self.parts)
        order = np.random.default_rng([self.seed, cycle]).permutation(self.num_clips)
        size = math.ceil(self.num_clips / self.parts)
        return np.resize(order, size * self.parts)[part * size : (part + 1) * size]

    def __len__(self) -> int:
        """The number of visits of this rank in an epoch."""
        return len(range(self.rank, self.num_visits, self.world_size))

    def set_epoch(self, epoch: int) -> None:
        """Chooses the epoch that the next iteration belongs to; MMEngine calls it before every training epoch."""
        self.epoch = epoch
