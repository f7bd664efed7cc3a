"""Samplers of frame pairs, and sample indices that make each sample reproducible."""

import math
import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import torch
from mmengine.dist import get_dist_info, sync_random_seed
from torch.utils.data import Dataset, Sampler

from mmvidmae.registry import DATA_SAMPLERS


class SampleIndex(int):
    """Integer index of a dataset item that carries the random key of the sample. Our samplers yield it.

    Any dataset can use it as a plain index. ``ConcatDataset`` and ``RepeatDataset``, MMEngine's or torch's, derive the
    index of a part from it with ``-`` and ``%``. Both operators keep the key.

    Args:
        index: Index of the item.
        epoch: Epoch of the sample.
        seed: Seed of the run.
        number: Number of the sample in the epoch; by default the index. Copies of a clip have different numbers.

    Attributes:
        key (tuple[int, int, int]): ``(seed, epoch, number)``, which determines the random draws of the item.
    """

    def __new__(cls, index: int, epoch: int, seed: int, number: int | None = None) -> 'SampleIndex':
        sample_index = super().__new__(cls, index)
        sample_index.key = (seed, epoch, int(index) if number is None else number)
        return sample_index

    @property
    def index(self) -> int:
        """Index as a plain integer."""
        return int(self)

    @property
    def epoch(self) -> int:
        """Epoch of the sample."""
        return self.key[1]

    @property
    def seed(self) -> int:
        """Seed of the run."""
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
    """Seed the global generators of Python, NumPy and torch (CPU) from the key of a sample, within a ``with`` block.

    This is for datasets whose transforms draw from the global generators. An index other than a :class:`SampleIndex`
    changes nothing. The previous states are restored at the end of the block.
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
    """Mixin for datasets whose items draw from the global generators. It seeds each item by its sample (``seeded``)."""

    def __getitem__(self, index: Any) -> Any:
        """Return an item."""
        with seeded(index):
            return super().__getitem__(index)


class _Part(NamedTuple):
    """One of the sampled datasets, and its share of an epoch."""

    start: int  # its first index
    size: int
    pairs_per_sample: int
    num_samples: int  # in an epoch, over all ranks
    cycle: int  # epochs after which all of its items have been sampled


@DATA_SAMPLERS.register_module()
class PairSampler(Sampler):
    """Sampler for single and distributed runs whose epochs are *effective* epochs.

    With ``repeated_sampling=k``, each sample of a clip gives k pairs. The papers count k pairs of a clip as k epochs.
    One epoch of this sampler therefore samples one k-th of the clips: a different part in each epoch, and all clips
    in k epochs. The number of pairs in an epoch, learning-rate schedules and intervals do not depend on k.

    Each dataset of a ``ConcatDataset`` is sampled separately, with its own k; the samples are then mixed. An epoch
    takes as many pairs from a dataset as it has clips, unless ``shares`` is given. The copies of a ``RepeatDataset``
    are sampled in the same way.

    Each rank takes every ``world_size``-th sample. The batches of all ranks together equal those of a single process
    with the total batch size.

    Args:
        dataset: Dataset to sample. Its attribute ``repeated_sampling`` is k, by default 1.
        shuffle: Whether to shuffle, for training. Otherwise every epoch of every run samples all clips in order and
            draws the same pairs.
        seed: Seed of the order and of the samples when ``shuffle`` is on, the same on all ranks. If None, MMEngine
            draws it and shares it among the ranks.
        round_up: Whether to repeat some clips so that all ranks have equally many.
        samples_per_epoch: Number of pairs in an epoch, over all ranks; by default the number of clips.
        shares: Ratio in which the datasets of a ``ConcatDataset`` share the pairs of an epoch: ``[3, 1]`` takes three
            quarters from the first. Clips of a small dataset may then be sampled several times in an epoch; a large
            dataset is spread over several epochs. A curriculum gives the first epoch of each stage with its ratio:
            ``[(0, [3, 1]), (100, [1, 1])]``. A stage may leave a dataset out (0).

    Attributes:
        start (int): Samples of this rank to skip in the next pass, because a resumed run has already used them.
        pairs_per_sample (float): Mean number of pairs in a sample.

    Raises:
        ValueError: If ``samples_per_epoch`` or ``shares`` are not positive or are given without ``shuffle``; if the
            number of shares differs from the number of datasets; if the stages of a curriculum do not begin with epoch
            0 and increase, or its datasets differ in ``repeated_sampling``, which would change the length of an epoch.
    """

    def __init__(
        self,
        dataset: Dataset,
        shuffle: bool = True,
        seed: int | None = None,
        round_up: bool = True,
        samples_per_epoch: int | None = None,
        shares: Sequence[float] | Sequence[tuple[int, Sequence[float]]] | None = None,
    ) -> None:
        self.rank, self.world_size = get_dist_info()
        self.shuffle = shuffle
        self.epoch = 0
        self.start = 0
        self.seed = (sync_random_seed() if seed is None else seed) if shuffle else 0
        self.num_clips = len(dataset)
        if not shuffle and (samples_per_epoch is not None or shares is not None):
            raise ValueError('PairSampler: samples_per_epoch and shares need shuffle=True')
        self.stages = _plan(dataset, samples_per_epoch, shares)
        _, parts = self.stages[0]
        self.epoch_size = sum(part.num_samples for part in parts) if shuffle else self.num_clips  # of all ranks
        self.total_size = self.epoch_size
        if round_up:
            self.total_size = math.ceil(self.epoch_size / self.world_size) * self.world_size
        pairs = sum(part.num_samples * part.pairs_per_sample for part in parts)
        self.pairs_per_sample = pairs / max(1, sum(part.num_samples for part in parts))

    def __iter__(self) -> Iterator[SampleIndex]:
        epoch = self.epoch if self.shuffle else 0
        numbers = np.resize(self._numbers(epoch), self.total_size)[self.rank :: self.world_size]
        start, self.start = self.start, 0
        return self._sample_indices(numbers[start:], epoch)

    def _sample_indices(self, numbers: np.ndarray, epoch: int) -> Iterator[SampleIndex]:
        return (SampleIndex(number % self.num_clips, epoch, self.seed, number) for number in numbers.tolist())

    def _numbers(self, epoch: int) -> np.ndarray:
        """Samples of an epoch before rounding up, as an array of shape (epoch_size,). Entries are clip indices, plus
        the number of clips for each earlier sample of the same clip in this epoch."""
        if not self.shuffle:
            return np.arange(self.num_clips)
        chosen = []
        start, parts = next(stage for stage in reversed(self.stages) if stage[0] <= epoch)
        for index, part in enumerate(parts):
            cycle, turn = divmod(epoch - start, part.cycle)
            key = [self.seed, cycle, 0, index, *([start] if start else ())]
            order = np.random.default_rng(key).permutation(part.size)
            places = np.arange(part.num_samples)
            clips = order[(turn * part.num_samples + places) % part.size]
            chosen.append(part.start + clips + places // part.size * self.num_clips)
        if len(chosen) == 1:
            return chosen[0]
        return np.random.default_rng([self.seed, epoch, 1, 0]).permutation(np.concatenate(chosen))

    def __len__(self) -> int:
        """Number of samples of this rank in an epoch."""
        return len(range(self.rank, self.total_size, self.world_size))

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch of the next iteration over the sampler. MMEngine calls this before every training epoch."""
        self.epoch = epoch


@DATA_SAMPLERS.register_module()
class InfinitePairSampler(PairSampler):
    """Endless sequence of the epochs of :class:`PairSampler`, for iteration-based loops.

    A pass skips the first ``start`` samples of this rank, counted from the beginning of the run.
    """

    def __iter__(self) -> Iterator[SampleIndex]:
        position = self.rank + self.world_size * self.start
        while True:
            epoch, place = divmod(position, self.epoch_size)
            numbers = self._numbers(epoch)[place :: self.world_size]
            yield from self._sample_indices(numbers, epoch)
            position += self.world_size * len(numbers)

    def set_epoch(self, epoch: int) -> None:
        """Do nothing: the position determines the epoch."""


def _plan(dataset: Dataset, pairs: int | None, shares: Sequence | None) -> list[tuple[int, list[_Part]]]:
    """First epoch and parts of each stage of a run. All stages have epochs of the same length."""
    is_curriculum = shares is not None and any(isinstance(stage, Sequence) for stage in shares)
    if not is_curriculum:
        return [(0, _divide(dataset, pairs, shares))]
    right = all(isinstance(stage, Sequence) and len(stage) == 2 and isinstance(stage[1], Sequence) for stage in shares)
    starts = [stage[0] for stage in shares] if right else []
    if not right or starts[0] != 0 or any(early >= late for early, late in pairwise(starts)):
        raise ValueError(
            f'PairSampler: shares={list(shares)} must list (epoch, ratio) with increasing epochs, the first one 0'
        )
    if len({repeats for _, repeats in _leaves(dataset)}) > 1:
        raise ValueError('PairSampler: the datasets of a curriculum must have the same repeated_sampling')
    stages = [(start, _divide(dataset, pairs, ratio)) for start, ratio in shares]
    length = sum(part.num_samples for part in stages[0][1])
    for _, parts in stages[1:]:
        largest = max(range(len(parts)), key=lambda index: parts[index].num_samples)
        change = length - sum(part.num_samples for part in parts)  # of rounding up each part
        parts[largest] = parts[largest]._replace(num_samples=parts[largest].num_samples + change)
    return stages


def _divide(dataset: Dataset, pairs: int | None, shares: Sequence[float] | None) -> list[_Part]:
    """Split the pairs of an epoch among the datasets inside ``dataset``."""
    if pairs is not None and pairs < 1:
        raise ValueError(f'PairSampler: samples_per_epoch must be at least 1, got {pairs}')
    total = len(dataset) if pairs is None else pairs
    if shares is None:
        groups, shares = [_leaves(dataset)], [1]
    else:
        groups = [_leaves(inner) for inner in getattr(dataset, 'datasets', ())]
        if len(groups) != len(shares) or min(shares) < 0 or sum(shares) <= 0:
            raise ValueError(
                f'PairSampler: shares={list(shares)} must be one number for each dataset of a ConcatDataset, which are '
                f'{len(groups)} here, none negative and not all 0'
            )
    parts, start = [], 0
    for leaves, share in zip(groups, shares, strict=True):
        group_size = sum(size for size, _ in leaves)
        for size, repeats in leaves:
            wanted = total * share / sum(shares) * size / max(1, group_size)
            num_samples = math.ceil(round(wanted / repeats, 6))
            cycle = math.ceil(round(size * repeats / wanted, 6)) if wanted else 1
            parts.append(_Part(start, size, repeats, num_samples, cycle))
            start += size
    return parts


def _leaves(dataset: Dataset) -> list[tuple[int, int]]:
    """Size and pairs per sample of each dataset within wrappers, in the order of their indices."""
    if hasattr(dataset, 'datasets'):  # ConcatDataset
        return [leaf for inner in dataset.datasets for leaf in _leaves(inner)]
    if hasattr(dataset, 'times'):  # RepeatDataset
        return _leaves(dataset.dataset) * dataset.times
    return [(len(dataset), getattr(dataset, 'repeated_sampling', 1))]
