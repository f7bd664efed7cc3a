import pytest
import torch

from mmvidmae.models.masking import (
    AsymmetricMasking,
    GridMasking,
    JointRandomMasking,
    PerFrameRandomMasking,
    mask_by_noise,
    seeded_uniform,
)

GRID = (4, 6)
TOKENS = GRID[0] * GRID[1]
MASKINGS = [
    JointRandomMasking(0.75),
    PerFrameRandomMasking(0.75),
    AsymmetricMasking((0.0, 0.95)),
    AsymmetricMasking((0.5, 0.75)),
    GridMasking((1, 2)),
    GridMasking(3),
]


def noise(num: int = 3, seed: int = 0) -> torch.Tensor:
    return torch.rand(num, 2 * TOKENS, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize('masking', MASKINGS, ids=lambda masking: type(masking).__name__)
def test_masks_are_consistent(masking):
    """Visible indices, ranks and the mask tell the same story, and restoring undoes picking."""
    masks = masking(noise(), GRID)
    assert len(masks) == (1 if masking.joint else 2)
    size = 2 * TOKENS // len(masks)
    for mask in masks:
        num_keep = mask.ids_keep.shape[1]
        assert mask.mask.shape == mask.ids_restore.shape == (3, size)
        assert (mask.mask == 0).sum(1).eq(num_keep).all()
        assert mask.mask.gather(1, mask.ids_keep).eq(0).all()
        assert mask.ids_restore.sort(1).values.eq(torch.arange(size)).all()
        tokens = torch.randn(3, size, 5)
        restored = mask.restore(mask.visible(tokens), torch.full((1, 1, 5), 7.0))
        hidden = mask.mask[..., None].bool().expand_as(tokens)
        assert torch.equal(restored, tokens.masked_fill(hidden, 7.0))


@pytest.mark.parametrize('masking', MASKINGS, ids=lambda masking: type(masking).__name__)
def test_same_noise_same_masks_and_samples_differ(masking):
    first, second = masking(noise(), GRID), masking(noise(), GRID)
    assert all(torch.equal(a, b) for one, two in zip(first, second) for a, b in zip(one, two))
    hidden = torch.cat([mask.mask for mask in masking(noise(64), GRID)], dim=1)
    assert len(hidden.unique(dim=0)) > 1  # one permutation is not shared by the batch


def test_counts_of_the_papers():
    (joint,) = JointRandomMasking(0.75)(torch.rand(2, 392), (14, 14))
    assert joint.ids_keep.shape[1] == 98
    past, future = AsymmetricMasking((0.0, 0.95))(torch.rand(2, 392), (14, 14))
    assert (past.ids_keep.shape[1], future.ids_keep.shape[1]) == (196, 9)
    assert torch.equal(past.ids_keep[0], torch.arange(196))  # a whole frame stays in its order
    _, future = AsymmetricMasking((0.0, 0.95))(torch.rand(2, 1568), (28, 28))
    assert future.ids_keep.shape[1] == 39


def test_joint_masking_varies_between_frames_per_frame_does_not():
    many = noise(200)
    (joint,) = JointRandomMasking(0.75)(many, GRID)
    in_first_frame = (joint.ids_keep < TOKENS).sum(1)
    assert in_first_frame.unique().numel() > 3
    # hypergeometric: K (L / 2 L) = 6 on average
    assert in_first_frame.double().mean() == pytest.approx(6, abs=0.5)
    for mask in PerFrameRandomMasking(0.75)(many, GRID):
        assert mask.ids_keep.shape[1] == TOKENS // 4


def test_every_token_is_hidden_equally_often():
    (mask,) = JointRandomMasking(0.75)(noise(4000), GRID)
    frequency = mask.mask.mean(0)
    assert frequency.sub(0.75).abs().max() < 5 * (0.75 * 0.25 / 4000) ** 0.5


@pytest.mark.parametrize(('grid', 'stride'), [((4, 6), 2), ((5, 7), 2), ((7, 5), 3)])
def test_grid_masking_is_a_lattice(grid, stride):
    tokens = grid[0] * grid[1]
    generator = torch.Generator().manual_seed(0)
    past, future = GridMasking((1, stride))(torch.rand(200, 2 * tokens, generator=generator), grid)
    assert past.mask.sum() == 0
    visible = future.mask.eq(0).unflatten(1, grid)
    offsets = set()
    for sample in visible:
        rows, columns = sample.any(1).nonzero()[:, 0], sample.any(0).nonzero()[:, 0]
        assert rows.diff().eq(stride).all()
        assert columns.diff().eq(stride).all()
        assert sample.sum() == len(rows) * len(columns) == (grid[0] // stride) * (grid[1] // stride)
        offsets.add((rows[0].item(), columns[0].item()))
    assert len(offsets) == stride**2


def test_errors_say_what_to_change():
    with pytest.raises(ValueError, match='0 of 48 tokens would be visible'):
        JointRandomMasking(0.99)(noise(), GRID)
    with pytest.raises(ValueError, match='-9 of 48'):
        mask_by_noise(noise(), -9)
    with pytest.raises(ValueError, match='one share for each frame'):
        AsymmetricMasking(())
    for masking in (AsymmetricMasking((0.0, 0.5, 0.5)), GridMasking((1, 2, 2))):
        with pytest.raises(ValueError, match='is for clips of 3 frames, got 2'):
            masking(noise(), GRID)
    with pytest.raises(ValueError, match='positive'):
        GridMasking(0)
    with pytest.raises(ValueError, match='no cell of stride 5'):
        GridMasking(5)(noise(), GRID)


def splitmix64(state: int, length: int) -> list[float]:
    """The published generator in Python's whole numbers."""
    word, numbers = 2**64 - 1, []
    for _ in range(length):
        state = (state + 0x9E3779B97F4A7C15) & word
        z = state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & word
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & word
        numbers.append(((z ^ (z >> 31)) >> 11) * 2.0**-53)
    return numbers


def test_seeded_noise_is_splitmix64():
    seeds = [0, 1, 2**62 + 12345, -5]
    expected = torch.tensor([splitmix64(seed % 2**64, 40) for seed in seeds], dtype=torch.float64)
    assert torch.equal(seeded_uniform(torch.tensor(seeds), 40), expected)


def test_seeded_noise_is_independent_of_the_batch():
    seeds = torch.arange(1000)
    many = seeded_uniform(seeds, 50)
    assert torch.equal(seeded_uniform(seeds[[7]], 50)[0], many[7])
    assert many.mean() == pytest.approx(0.5, abs=0.01)
    assert torch.corrcoef(many[:30]).fill_diagonal_(0).abs().max() < 0.7  # neighboring seeds are unrelated
