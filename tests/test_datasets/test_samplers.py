import itertools
import pickle
import random
from collections import Counter

import numpy as np
import pytest
import torch
from mmengine.dataset import ConcatDataset, RepeatDataset
from torch.utils.data import ConcatDataset as TorchConcatDataset

from mmvidmae.datasets import InfinitePairSampler, PairSampler, SampleIndex, samplers
from mmvidmae.datasets.samplers import SeededItems, seeded


class Clips:
    """A dataset as the sampler sees it."""

    def __init__(self, size, repeated_sampling=1):
        self.size, self.repeated_sampling = size, repeated_sampling

    def __len__(self):
        return self.size


def sample_indices(sampler, epoch=0):
    sampler.set_epoch(epoch)
    result = list(sampler)
    assert len(result) == len(sampler)
    return result


@pytest.mark.parametrize(('size', 'k'), [(12, 1), (12, 2), (13, 2), (13, 4), (2, 3), (1, 1)])
def test_k_epochs_cover_all_clips(size, k):
    sampler = PairSampler(Clips(size, k), seed=0)
    cycles = [
        [sample.index for epoch in range(c * k, (c + 1) * k) for sample in sample_indices(sampler, epoch)]
        for c in (0, 1)
    ]
    for cycle in cycles:
        assert set(cycle) == set(range(size))
        assert len(cycle) == -(-size // k) * k, 'epochs of equal size, at most a few clips twice'
    if size > 2:
        assert cycles[0] != cycles[1]


def test_sample_indices_hold_epoch_and_seed():
    sampler = PairSampler(Clips(5), seed=7)
    assert {(sample.epoch, sample.seed) for sample in sample_indices(sampler, 3)} == {(3, 7)}
    assert sample_indices(sampler, 3) == sample_indices(PairSampler(Clips(5), seed=7), 3)
    assert sample_indices(sampler, 3) != sample_indices(PairSampler(Clips(5), seed=8), 3)


def test_validation_is_the_same_in_every_epoch_and_run():
    one, other = PairSampler(Clips(5, 2), shuffle=False, seed=1), PairSampler(Clips(5, 2), shuffle=False, seed=2)
    assert sample_indices(one, 0) == sample_indices(one, 4) == sample_indices(other, 9)
    assert [sample.index for sample in sample_indices(one)] == [0, 1, 2, 3, 4]


@pytest.mark.parametrize('k', [1, 2])
@pytest.mark.parametrize('round_up', [True, False])
def test_ranks_share_the_samples_of_one_process(monkeypatch, k, round_up):
    alone = sample_indices(PairSampler(Clips(26, k), seed=3), 1)
    ranks = []
    for rank in range(4):
        monkeypatch.setattr(samplers, 'get_dist_info', lambda rank=rank: (rank, 4))
        ranks.append(sample_indices(PairSampler(Clips(26, k), seed=3, round_up=round_up), 1))
    assert len({len(rank) for rank in ranks}) == 1 if round_up else sum(map(len, ranks)) == len(alone)
    # Batches of 2 on 4 ranks are batches of 8 on one.
    assert {sample for rank in ranks for sample in rank[:2]} == set(alone[:8])
    extra = Counter(sample for rank in ranks for sample in rank) - Counter(alone)
    assert sum(extra.values()) == (-len(alone) % 4 if round_up else 0)


def test_a_seed_is_drawn_if_none_is_given():
    sampler = PairSampler(Clips(4))
    assert isinstance(sampler.seed, int)
    assert sample_indices(sampler, 0) == sample_indices(sampler, 0)


class Items(Clips):
    """Clips that give what they were asked for."""

    metainfo = {}

    def full_init(self):
        pass

    def __getitem__(self, sample):
        return self, sample


def join(*parts):
    joined = ConcatDataset.__new__(ConcatDataset)
    TorchConcatDataset.__init__(joined, parts)
    joined._fully_initialized = True
    return joined


def repeat(part, times):
    repeated = RepeatDataset.__new__(RepeatDataset)
    repeated.dataset, repeated.times, repeated._ori_len, repeated._fully_initialized = part, times, len(part), True
    return repeated


class TestMixedDataSets:
    def test_each_gives_as_many_pairs_as_it_has_clips(self):
        parts = [Items(12), Items(8, 2), Items(9, 4)]
        sampler = PairSampler(join(*parts), seed=0)
        for epoch in range(3):
            owners = Counter(
                part.repeated_sampling for part, _ in map(sampler_dataset(parts), sample_indices(sampler, epoch))
            )
            assert owners == {1: 12, 2: 4, 4: 3}
        assert sampler.pairs_per_sample == (12 + 4 * 2 + 3 * 4) / (12 + 4 + 3)

    @pytest.mark.parametrize('shares', [[1, 1], [3, 1], [0.1, 0.9]])
    def test_shares(self, shares):
        parts = [Items(10), Items(190, 2)]
        sampler = PairSampler(join(*parts), seed=0, shares=shares)
        seen = Counter()
        for epoch in range(20):
            got = [sampler_dataset(parts)(sample) for sample in sample_indices(sampler, epoch)]
            pairs = Counter(part.size for part, _ in got for _ in range(part.repeated_sampling))
            assert pairs[10] == pytest.approx(200 * shares[0] / sum(shares), abs=1)
            assert pairs[190] == pytest.approx(200 * shares[1] / sum(shares), abs=2)
            keys = [sample.key for _, sample in got]
            assert len(set(keys)) == len(keys), 'each sample of an epoch has its own draws'
            seen.update((part.size, int(sample)) for part, sample in got)
        for size in (10, 190):
            counts = [seen[size, index] for index in range(size)]
            assert max(counts) - min(counts) <= 20, 'no clip is preferred'
            assert min(counts) > 0

    def test_curriculum(self, monkeypatch):
        parts = [Items(10), Items(190)]
        stages = [(0, [1, 0]), (3, [1, 1]), (5, [1, 199])]
        sampler = PairSampler(join(*parts), seed=0, samples_per_epoch=33, shares=stages)
        epochs = [sample_indices(sampler, epoch) for epoch in range(8)]
        small = [sum(sample < 10 for sample in epoch) for epoch in epochs]
        assert small == [33, 33, 33, 16, 16, 1, 1, 1]
        assert {len(epoch) for epoch in epochs} == {33}
        assert epochs[3] == sample_indices(PairSampler(join(*parts), seed=0, samples_per_epoch=33, shares=stages), 3)
        large = Counter(sample for epoch in epochs[5:] for sample in map(int, epoch) if sample >= 10)
        assert len(large) == 96, 'a stage samples a clip again after all others only'
        endless = itertools.islice(InfinitePairSampler(join(*parts), seed=0, samples_per_epoch=33, shares=stages), 264)
        assert [*map(int, endless)] == [int(sample) for epoch in epochs for sample in epoch]
        constant = PairSampler(join(*parts), seed=0, samples_per_epoch=33, shares=[(0, [1, 1])])
        assert sample_indices(constant, 4) == sample_indices(
            PairSampler(join(*parts), seed=0, samples_per_epoch=33, shares=[1, 1]), 4
        )

    def test_copies_of_a_clip_draw_for_themselves(self):
        part = Items(5)
        dataset = repeat(part, 3)
        got = [dataset[sample][1] for sample in sample_indices(PairSampler(dataset, seed=0))]
        assert Counter(map(int, got)) == dict.fromkeys(range(5), 3)
        assert len({sample.key for sample in got}) == 15

    @pytest.mark.parametrize(
        ('dataset', 'arguments', 'message'),
        [
            (Items(4), dict(shares=[1, 1]), r'shares=\[1, 1\] must be one .* which are 0 here'),
            (join(Items(4), Items(4)), dict(shares=[1, -1]), 'none negative and not all 0'),
            (join(Items(4), Items(4)), dict(shares=[0, 0]), 'none negative and not all 0'),
            (join(Items(4), Items(4)), dict(shares=[(0, [1, 1]), (0, [1, 2])]), 'with increasing epochs'),
            (join(Items(4), Items(4)), dict(shares=[(1, [1, 1])]), 'the first one 0'),
            (join(Items(4), Items(4)), dict(shares=[(0, [1, 1]), 3]), r'must list \(epoch, ratio\)'),
            (join(Items(4), Items(4, 2)), dict(shares=[(0, [1, 1]), (2, [1, 2])]), 'the same repeated_sampling'),
            (join(Items(4), Items(4)), dict(shares=[1, 1], shuffle=False), 'need shuffle=True'),
            (Items(4), dict(samples_per_epoch=0), 'samples_per_epoch must be at least 1, got 0'),
        ],
    )
    def test_bad_arguments(self, dataset, arguments, message):
        with pytest.raises(ValueError, match=message):
            PairSampler(dataset, seed=0, **arguments)


def sampler_dataset(parts):
    return join(*parts).__getitem__


def test_epochs_of_a_given_size():
    """As mmtrack's QuotaSampler: clips are sampled equally often, and each sample has its own draws."""
    sampler = PairSampler(Clips(4), seed=0, samples_per_epoch=10)
    assert len(sampler) == 10
    epoch = sample_indices(sampler)
    assert sorted(Counter(map(int, epoch)).values()) == [2, 2, 3, 3]
    assert len({sample.key for sample in epoch}) == 10
    few = PairSampler(Clips(10), seed=0, samples_per_epoch=4)
    assert {int(sample) for epoch in range(3) for sample in sample_indices(few, epoch)} == set(range(10))


@pytest.mark.parametrize('world_size', [1, 3])
def test_endless_samples_from_any_position(monkeypatch, world_size):
    ranks = []
    for rank in range(world_size):
        monkeypatch.setattr(samplers, 'get_dist_info', lambda rank=rank: (rank, world_size))
        sampler = InfinitePairSampler(Clips(7), seed=2)
        whole = [(int(sample), sample.key) for sample in itertools.islice(sampler, 12)]
        sampler.start = 5
        assert [(int(sample), sample.key) for sample in itertools.islice(sampler, 7)] == whole[5:]
        ranks.append(whole)
    stream = [sample for samples in zip(*ranks) for sample in samples]
    monkeypatch.undo()
    alone = PairSampler(Clips(7), seed=2)
    expected = [sample for epoch in range(6) for sample in sample_indices(alone, epoch)][: len(stream)]
    assert stream == [(int(sample), sample.key) for sample in expected]


def test_a_pass_skips_earlier_samples():
    sampler = PairSampler(Clips(6), seed=0)
    whole = sample_indices(sampler, 2)
    sampler.start = 4
    assert list(sampler) == whole[4:]
    assert list(sampler) == whole, 'that pass alone'


def test_sample_index_keeps_its_key():
    sample = SampleIndex(7, epoch=3, seed=5)
    for changed, index in ((sample - 4, 3), (sample % 4, 3), (pickle.loads(pickle.dumps(sample)), 7)):
        assert (changed, changed.index, changed.key) == (index, index, (5, 3, 7))
        assert isinstance(changed, SampleIndex)
    assert [10, 20, 30][sample - 6] == 20


def test_seeded_items_follow_from_the_sample_and_change_nothing_else():
    def draw():
        return random.random(), np.random.random(), torch.rand(()).item()  # noqa: NPY002

    class Plain:
        def __getitem__(self, index):
            return draw()

    class Data(SeededItems, Plain):
        pass

    def reset():
        random.seed(0)
        np.random.seed(0)  # noqa: NPY002
        torch.manual_seed(0)

    data = Data()
    reset()
    expected = draw()
    reset()
    first = data[SampleIndex(1, 2, 3)]
    assert draw() == expected, 'the generators go on where they were'
    assert data[SampleIndex(1, 2, 3)] == first
    others = [
        data[sample]
        for sample in (
            SampleIndex(2, 2, 3),
            SampleIndex(1, 3, 3),
            SampleIndex(1, 2, 4),
            SampleIndex(1, 2, 3, number=10),
        )
    ]
    assert len({first, *others}) == 5
    assert data[1] != data[1], 'a plain index draws from the generators'
    with pytest.raises(KeyError), seeded(SampleIndex(0, 0, 0)):
        raise KeyError
