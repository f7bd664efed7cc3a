from collections import Counter

import pytest

from mmvidmae.datasets import PairSampler, samplers


class Clips:
    """A dataset as the sampler sees it."""

    def __init__(self, size, repeated_sampling=1):
        self.size, self.repeated_sampling = size, repeated_sampling

    def __len__(self):
        return self.size


def visits(sampler, epoch=0):
    sampler.set_epoch(epoch)
    result = list(sampler)
    assert len(result) == len(sampler)
    return result


@pytest.mark.parametrize(('size', 'k'), [(12, 1), (12, 2), (13, 2), (13, 4), (2, 3), (1, 1)])
def test_k_epochs_cover_all_clips(size, k):
    sampler = PairSampler(Clips(size, k), seed=0)
    cycles = [[visit.index for epoch in range(c * k, (c + 1) * k) for visit in visits(sampler, epoch)] for c in (0, 1)]
    for cycle in cycles:
        assert set(cycle) == set(range(size))
        assert len(cycle) == -(-size // k) * k, 'epochs of equal size, at most a few clips twice'
    if size > 2:
        assert cycles[0] != cycles[1]


def test_visits_say_all_that_matters():
    sampler = PairSampler(Clips(5), seed=7)
    assert {(visit.epoch, visit.seed) for visit in visits(sampler, 3)} == {(3, 7)}
    assert visits(sampler, 3) == visits(PairSampler(Clips(5), seed=7), 3)
    assert visits(sampler, 3) != visits(PairSampler(Clips(5), seed=8), 3)


def test_validation_is_the_same_in_every_epoch_and_run():
    one, other = PairSampler(Clips(5, 2), shuffle=False, seed=1), PairSampler(Clips(5, 2), shuffle=False, seed=2)
    assert visits(one, 0) == visits(one, 4) == visits(other, 9)
    assert [visit.index for visit in visits(one)] == [0, 1, 2, 3, 4]


@pytest.mark.parametrize('k', [1, 2])
@pytest.mark.parametrize('round_up', [True, False])
def test_ranks_share_the_visits_of_one_process(monkeypatch, k, round_up):
    alone = visits(PairSampler(Clips(26, k), seed=3), 1)
    ranks = []
    for rank in range(4):
        monkeypatch.setattr(samplers, 'get_dist_info', lambda rank=rank: (rank, 4))
        ranks.append(visits(PairSampler(Clips(26, k), seed=3, round_up=round_up), 1))
    assert len({len(rank) for rank in ranks}) == 1 if round_up else sum(map(len, ranks)) == len(alone)
    # Batches of 2 on 4 ranks are batches of 8 on one.
    assert {visit for rank in ranks for visit in rank[:2]} == set(alone[:8])
    extra = Counter(visit for rank in ranks for visit in rank) - Counter(alone)
    assert sum(extra.values()) == (-len(alone) % 4 if round_up else 0)


def test_a_seed_is_drawn_if_none_is_given():
    sampler = PairSampler(Clips(4))
    assert isinstance(sampler.seed, int)
    assert visits(sampler, 0) == visits(sampler, 0)
