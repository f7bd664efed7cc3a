"""ASAD: its law and numbers are compared with the authors' sampler in test_parity.py; here are the invariants."""

import pytest
import torch

from mmvidmae.models.layers import (
    SpatialDropAttention,
    num_spatial_drops,
    sample_spatial_drops,
    spatial_drop_weights,
)

TOKENS = 24


def attention(spatial_drop: float = 0.3, **kwargs) -> SpatialDropAttention:
    torch.manual_seed(0)
    return SpatialDropAttention(32, num_heads=4, spatial_drop=spatial_drop, **kwargs)


def draws(attn: torch.Tensor, ratio: float) -> torch.Tensor:
    return sample_spatial_drops(spatial_drop_weights(attn), num_spatial_drops(ratio, attn.shape[-1]))


def test_budget_of_the_paper_size():
    assert [num_spatial_drops(p, 392) for p in (0.0, 0.05, 0.1, 0.2, 0.3)] == [0, 3528, 7448, 15288, 22736]


@pytest.mark.parametrize('ratio', [0.1, 0.5, 1.0])
@pytest.mark.parametrize('scale', [0.1, 3.0, 200.0])  # up to rows whose probability underflows
def test_what_may_be_dropped(ratio: float, scale: float):
    attn = (torch.randn(3, 4, TOKENS, TOKENS) * scale).softmax(-1)
    drops = draws(attn, ratio)
    assert drops.sum((-2, -1)).eq(num_spatial_drops(ratio, TOKENS)).all()
    assert not drops.diagonal(dim1=-2, dim2=-1).any()
    half = TOKENS // 2
    assert not drops[..., :half, half:].any()
    assert not drops[..., half:, :half].any()


def test_weights_follow_the_definition():
    """W_ij = f_tem(i) p_ij, entry by entry."""
    attn = torch.randn(TOKENS, TOKENS, dtype=torch.float64).softmax(-1)
    weights, half = spatial_drop_weights(attn), TOKENS // 2
    for i in range(TOKENS):
        own = range(half) if i < half else range(half, TOKENS)
        match = max(attn[i, j] for j in range(TOKENS) if j not in own) + 1e-6
        total = sum(attn[i, j] + 1e-6 for j in own if j != i)
        for column, j in enumerate(own):
            expected = 0 if i == j else match * (attn[i, j] + 1e-6) / total
            assert weights[i, column] == pytest.approx(float(expected), rel=1e-12)


def frequencies(strategy: str, attn: torch.Tensor, ratio: float = 0.3) -> torch.Tensor:
    """How often each entry is dropped, for queries and keys whose attention is ``attn``."""
    layer = SpatialDropAttention(TOKENS, num_heads=1, spatial_drop=ratio, drop_strategy=strategy)
    q = TOKENS**0.5 * attn.log().expand(2000, 1, -1, -1)
    drops = layer.sample_drop_mask(q, torch.eye(TOKENS).expand_as(q))
    assert drops.sum((-2, -1)).eq(num_spatial_drops(ratio, TOKENS)).all(), 'the same number in each strategy'
    assert not drops.diagonal(dim1=-2, dim2=-1).any()
    half = TOKENS // 2
    assert not drops[..., :half, half:].any()
    assert not drops[..., half:, :half].any()
    return drops.float().mean((0, 1))


def test_other_strategies_drop_by_what_they_say():
    half = TOKENS // 2
    logits = torch.zeros(TOKENS, TOKENS)
    logits[0, half + 3] = 6.0  # query 0 has a clear match in the other frame
    logits[:, 5] = 2.0  # all queries attend to token 5
    attn = logits.softmax(-1)
    found = {strategy: frequencies(strategy, attn) for strategy in ('adaptive', 'uniform', 'match', 'row')}
    within = torch.block_diag(*[1 - torch.eye(half)] * 2).bool()
    share = num_spatial_drops(0.3, TOKENS) / within.sum()
    assert (found['uniform'][within] - share).abs().max() < 0.06
    others = torch.tensor([1, *range(2, 5), *range(6, half)])  # columns beside 0 and 5
    for strategy, by_match, by_attention in (
        ('adaptive', True, True),
        ('uniform', False, False),
        ('match', True, False),
        ('row', False, True),
    ):
        drops = found[strategy]
        assert (drops[0].sum() > 1.5 * drops[1:half].sum(1).max()) == by_match, strategy
        assert (drops[1:5, 5].mean() > 1.5 * drops[6:half][:, 1:5].mean()) == by_attention, strategy
        if strategy == 'match':
            assert (drops[0, others] - drops[0, 5]).abs().max() < 0.06
    rows = found['row'].sum(1)
    torch.testing.assert_close(rows, torch.full_like(rows, int(0.3 * (half - 1))))
    with pytest.raises(ValueError, match='adaptive, uniform, match, row'):
        attention(drop_strategy='strongest')


def test_confident_matches_lose_more():
    """A query with a clear match in the other frame loses more of its within-frame attention."""
    half = TOKENS // 2
    logits = torch.zeros(500, TOKENS, TOKENS)
    logits[:, 0, half + 3] = 6.0
    drops = draws(logits.softmax(-1), 0.2).float().mean(0).sum(1)
    assert drops[0] > 2 * drops[1:].max()


def test_only_training_drops_and_draws_differ():
    layer, x = attention(), torch.randn(2, TOKENS, 32)
    assert not torch.equal(layer(x), layer(x))
    layer.eval()
    assert torch.equal(layer(x), layer(x))
    assert torch.equal(layer(x), attention(0.0).train()(x))  # P = 0 is TwinMAE: the same weights, nothing dropped


def test_samples_and_heads_have_their_own_masks():
    layer = attention()
    q, k = torch.randn(2, 2, 4, TOKENS, 8)
    drops = layer.sample_drop_mask(q, k)
    assert drops.shape == (2, 4, TOKENS, TOKENS)
    assert len(drops.flatten(0, 1).flatten(1).unique(dim=0)) == 8
    assert attention(share_heads=True).sample_drop_mask(q, k).shape == (2, 1, TOKENS, TOKENS)
    assert attention(0.01).sample_drop_mask(q, k) is None  # the budget is empty: int(0.01 * 11) = 0


def test_equals_explicit_masked_softmax_with_gradients():
    """Attention that remains is renormalized, gradients pass through it alone."""
    layer = attention().double()
    x = torch.randn(2, TOKENS, 32, dtype=torch.float64, requires_grad=True)
    q, k, v = layer.qkv(x).unflatten(2, (3, 4, 8)).permute(2, 0, 3, 1, 4)
    drops = layer.sample_drop_mask(q, k)
    logits = (q @ k.transpose(-2, -1) / 8**0.5).masked_fill(drops, -torch.inf)
    expected = layer.proj((logits.softmax(-1) @ v).transpose(1, 2).flatten(2))
    actual = layer(x, drops)
    assert torch.allclose(actual, expected, atol=1e-12)
    cotangent = torch.randn_like(actual)
    grads = [torch.autograd.grad((out * cotangent).sum(), (x, *layer.parameters())) for out in (actual, expected)]
    assert all(torch.allclose(a, b, atol=1e-10) for a, b in zip(*grads))


def test_low_precision_is_finite():
    layer, x = attention(), torch.randn(2, TOKENS, 32) * 30
    with torch.autocast('cpu', dtype=torch.bfloat16):
        out = layer(x)
    assert out.isfinite().all()


def test_rejects_a_percentage():
    with pytest.raises(ValueError, match=r'\[0, 1\]'):
        attention(10)
