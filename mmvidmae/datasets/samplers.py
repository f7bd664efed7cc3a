"""Which clips an epoch visits, and the numbers that make each visit repeatable."""

import math
import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import torch
from mmengine.dist import get_dist_info, sync_random_seed
from torch.utils.data import Dataset, Sampler

from mmvidmae.registry import DATA_SAMPLERS


class SampleIndex(int):
    """An index that brings along all that the random draws of its item depend on; what our samplers yield.

    It is a plain index to any data set. ``ConcatDataset`` and ``RepeatDataset``, MMEngine's or torch's, make an index
    of their part from it by ``-`` and ``%``, which keep what it brings along.

    Args:
        index: Index of the item.
        epoch: The epoch of the visit.
        seed: The seed of the run.
        number: Which visit of the epoch it is; by default the index. Copies of a clip have different numbers.

    Attributes:
        key (tuple[int, int, int]): ``(seed, epoch, number)``, from which the item's draws follow.
    """

    def __new__(cls, index: int, epoch: int, seed: int, number: int | None = None) -> 'SampleIndex':
        visit = super().__new__(cls, index)
        visit.key = (seed, epoch, int(index) if number is None else number)
        return visit

    @property
    def index(self) -> int:
        """The index alone."""
        return int(self)

    @property
    def epoch(self) -> int:
        """The epoch of the visit."""
        return self.key[1]

    @property
    def seed(self) -> int:
        """The seed of the run."""
        return self.key[0]

    def __sub__(self, other: int) -> 'SampleIndex':
        return self._at(int(self) - other)

    def __mod__(self, other: int) -> 'SampleIndex':
        return self._at(int(self) % other)

    def __reduce__(self) -> tuple:
        seed, epoch, number = self.key
        return SampleIndex, (int(self), epoch, seed, number)

    def _at(self, index: int) -> 'SampleIndex':
        seed, epoch, number = self.key
        return SampleIndex(index, epoch, seed, number)


@contextmanager
def seeded(index: Any) -> Iterator[None]:
    """Within it, the global generators of Python, NumPy and torch (CPU) follow from the key of a visit.

    For data sets whose transforms draw from these. With any other index nothing is changed. Afterwards the generators
    go on where they were.
    """
    if not isinstance(index, SampleIndex):
        yield
        return
    seeds = np.random.SeedSequence(index.key).generate_state(3).tolist()
    states = random.getstate(), np.random.get_state()  # noqa: NPY002
    with torch.random.fork_rng(devices=[]):
        random.seed(seeds[0])
        np.random.seed(seeds[1])  # noqa: NPY002
        torch.default_generator.manual_seed(seeds[2])
        try:
            yield
        finally:
            random.setstate(states[0])
            np.random.set_state(states[1])  # noqa: NPY002


class SeededItems:
    """Mixin for data sets whose items draw from the global generators: the draws follow from the visit (``seeded``)."""

    def __getitem__(self, index: Any) -> Any:
        """An item."""
        with seeded(index):
            return super().__getitem__(index)


class _Part(NamedTuple):
    """A data set of those that are sampled, and what an epoch takes of it."""

    start: int  # its first index
    size: int
    pairs_per_visit: int
    visits: int  # in an epoch, of all ranks
    cycle: int  # epochs in which all of it is visited


@DATA_SAMPLERS.register_module()
class PairSampler(Sampler):
    """Sampler for single and distributed runs whose epochs are *effective* epochs.

    With ``repeated_sampling=k`` a dataset gives k pairs at each visit of a clip. The papers count such a visit as k
    epochs, so one epoch of this sampler visits one k-th of the clips: a different part each time, all of them in k
    epochs. Pairs in an epoch, learning-rate schedules and intervals therefore do not depend on k.

    The data sets of a ``ConcatDataset`` are sampled each by itself, with its own k, and then mixed. An epoch takes as
    many pairs of each as it has clips, or what ``shares`` says. The copies of a ``RepeatDataset`` are sampled likewise.

    Ranks take every ``world_size``-th visit, so that the batches of all ranks together are those of one process with
    their total batch size.

    Args:
        dataset: A dataset; its attribute ``repeated_sampling`` is k, 1 if it has none.
        shuffle: For training. Without it every epoch visits all clips in their order and draws the same pairs, in
            every run.
        seed: Seed of the order and of the visits when ``shuffle`` is on; the same on all ranks. None: drawn by
            MMEngine and shared.
        round_up: Whether to repeat some clips so that all ranks have equally many.
        samples_per_epoch: Pairs of an epoch, of all ranks; by default as many as there are clips.
        shares: For a ``ConcatDataset``, in what ratio its data sets share the pairs of an epoch: ``[3, 1]`` takes three
            quarters from the first. A small data set is then visited more than once an epoch, a large one in parts.

    Attributes:
        start (int): Visits of this rank that the next pass leaves out, because a resumed run has made them before.
        pairs_per_visit (float): Pairs that a visit gives, on average.

    Raises:
        ValueError: If ``shares`` or ``samples_per_epoch`` are not positive or go without ``shuffle``, or if there is
            not one share for each data set.
    """

    def __init__(
        self,
        dataset: Dataset,
        shuffle: bool = True,
        seed: int | None = None,
        round_up: bool = True,
        samples_per_epoch: int | None = None,
        shares: Sequence[float] | None = None,
    ) -> None:
        self.rank, self.world_size = get_dist_info()
        self.shuffle = shuffle
        self.epoch = 0
        self.start = 0
        self.seed = (sync_random_seed() if seed is None else seed) if shuffle else 0
        self.num_clips = len(dataset)
        if not shuffle and (samples_per_epoch is not None or shares is not None):
            raise ValueError('PairSampler: samples_per_epoch and shares need shuffle=True')
        self.parts = _divide(dataset, samples_per_epoch, shares)
        self.epoch_visits = sum(part.visits for part in self.parts) if shuffle else self.num_clips  # of all ranks
        self.num_visits = self.epoch_visits
        if round_up:
            self.num_visits = math.ceil(self.epoch_visits / self.world_size) * self.world_size
        pairs = sum(part.visits * part.pairs_per_visit for part in self.parts)
        self.pairs_per_visit = pairs / max(1, sum(part.visits for part in self.parts))

    def __iter__(self) -> Iterator[SampleIndex]:
        epoch = self.epoch if self.shuffle else 0
        numbers = np.resize(self._numbers(epoch), self.num_visits)[self.rank :: self.world_size]
        start, self.start = self.start, 0
        return self._visits(numbers[start:], epoch)

    def _visits(self, numbers: np.ndarray, epoch: int) -> Iterator[SampleIndex]:
        return (SampleIndex(number % self.num_clips, epoch, self.seed, number) for number in numbers.tolist())

    def _numbers(self, epoch: int) -> np.ndarray:
        """The visits of an epoch before rounding up, array of shape (epoch_visits,): indices, to which the number of
        clips is added once for each earlier visit of the clip in this epoch."""
        if not self.shuffle:
            return np.arange(self.num_clips)
        chosen = []
        for index, part in enumerate(self.parts):
            cycle, turn = divmod(epoch, part.cycle)
            order = np.random.default_rng([self.seed, cycle, 0, index]).permutation(part.size)
            places = np.arange(part.visits)
            clips = order[(turn * part.visits + places) % part.size]
            chosen.append(part.start + clips + places // part.size * self.num_clips)
        if len(chosen) == 1:
            return chosen[0]
        return np.random.default_rng([self.seed, epoch, 1, 0]).permutation(np.concatenate(chosen))

    def __len__(self) -> int:
        """The number of visits of this rank in an epoch."""
        return len(range(self.rank, self.num_visits, self.world_size))

    def set_epoch(self, epoch: int) -> None:
        """Chooses the epoch that the next iteration belongs to; MMEngine calls it before every training epoch."""
        self.epoch = epoch


@DATA_SAMPLERS.register_module()
class InfinitePairSampler(PairSampler):
    """The epochs of :class:`PairSampler` without end, one after the other, for iteration-based loops.

    A pass begins ``start`` visits of this rank after the beginning of the run; none of those before is made.
    """

    def __iter__(self) -> Iterator[SampleIndex]:
        position = self.rank + self.world_size * self.start
        while True:
            epoch, place = divmod(position, self.epoch_visits)
            numbers = self._numbers(epoch)[place :: self.world_size]
            yield from self._visits(numbers, epoch)
            position += self.world_size * len(numbers)

    def set_epoch(self, epoch: int) -> None:
        """Does nothing: epochs follow from the position."""


def _divide(dataset: Dataset, pairs: int | None, shares: Sequence[float] | None) -> list[_Part]:
    """The data sets within a data set, each with its part of the pairs of an epoch."""
    if pairs is not None and pairs < 1:
        raise ValueError(f'PairSampler: samples_per_epoch must be at least 1, got {pairs}')
    total = len(dataset) if pairs is None else pairs
    if shares is None:
        groups, shares = [_leaves(dataset)], [1]
    else:
        groups = [_leaves(inner) for inner in getattr(dataset, 'datasets', ())]
        if len(groups) != len(shares) or min(shares) <= 0:
            raise ValueError(
                f'PairSampler: shares={list(shares)} must be one positive number for each data set of a ConcatDataset, '
                f'which are {len(groups)} here'
            )
    parts, start = [], 0
    for leaves, share in zip(groups, shares, strict=True):
        group_size = sum(size for size, _ in leaves)
        for size, at_visit in leaves:
            wanted = total * share / sum(shares) * size / max(1, group_size)
            visits = math.ceil(round(wanted / at_visit, 6))
            cycle = math.ceil(round(size * at_visit / wanted, 6)) if wanted else 1
            parts.append(_Part(start, size, at_visit, visits, cycle))
            start += size
    return parts


def _leaves(dataset: Dataset) -> list[tuple[int, int]]:
    """Size and pairs at a visit of each data set within wrappers, in the order of their indices."""
    if hasattr(dataset, 'datasets'):  # ConcatDataset
        return [leaf for inner in dataset.datasets for leaf in _leaves(inner)]
    if hasattr(dataset, 'times'):  # RepeatDataset
        return _leaves(dataset.dataset) * dataset.times
    return [(len(dataset), getattr(dataset, 'repeated_sampling', 1))]
