"""Attention within a frame and between frames."""

import numpy as np
import pytest
import torch
from mmengine.registry import DefaultScope

from mmvidmae.apis import PairBatches, attention_share, open_clip
from mmvidmae.models.selfsup import DropMAE, SiamMAE

SIZES = dict(
    backbone=dict(
        arch=dict(embed_dims=24, num_layers=1, num_heads=2, feedforward_channels=48), img_size=32, patch_size=8
    ),
    neck=dict(decoder_dims=24, depth=3, num_heads=2),
)


@pytest.fixture
def model():
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        built = DropMAE(**SIZES)
    built.init_weights()
    return built


def batches(video_dir, num=5, batch_size=2):
    video = video_dir / 'b.mp4'
    return PairBatches(video, open_clip(video), num, (1, 8), (32, 32), batch_size, seed=0)


def test_shares_sum_to_one_whatever_the_batch(model, video_dir):
    mass = attention_share(model, batches(video_dir))
    torch.testing.assert_close(mass.own + mass.itself + mass.other, torch.ones(3, dtype=torch.float64))
    again = attention_share(model, batches(video_dir, batch_size=5))
    for one, other in zip(mass, again):
        torch.testing.assert_close(one, other, atol=1e-6, rtol=0)
    assert not model.neck.decoder_blocks[0].attn._forward_pre_hooks, 'no hook is left behind'


def test_batches_are_the_same_in_every_pass(video_dir):
    pairs = batches(video_dir)
    first, second = (list(pairs) for _ in range(2))
    for one, other in zip(first, second, strict=True):
        assert torch.equal(one['inputs'], other['inputs'])
        assert [sample.seed for sample in one['data_samples']] == [sample.seed for sample in other['data_samples']]
    assert len({sample.seed for batch in first for sample in batch['data_samples']}) == 5


def test_without_preference_half_goes_to_the_other_frame(model, video_dir):
    for block in model.neck.decoder_blocks:
        torch.nn.init.zeros_(block.attn.qkv.weight)
        torch.nn.init.zeros_(block.attn.qkv.bias)
    mass = attention_share(model, batches(video_dir))
    np.testing.assert_allclose(mass.other, 0.5, atol=1e-6)
    np.testing.assert_allclose(mass.itself, 1 / 32, atol=1e-6)  # of 2 x 16 tokens


def test_a_decoder_that_looks_across(model, video_dir):
    """Queries and keys of a block are the identity embeddings' sign, so that each frame looks at the other."""
    direction = torch.zeros(24)
    direction[0] = 1.0
    with torch.no_grad():
        model.neck.frame_embed.zero_()
        model.neck.frame_embed[0, 0, 0], model.neck.frame_embed[0, 1, 0] = 1000 * direction, -1000 * direction
        attn = model.neck.decoder_blocks[0].attn
        attn.qkv.weight.zero_()
        attn.qkv.bias.zero_()
        for head in range(2):
            attn.qkv.weight[12 * head, 0] = 10  # query: + for frame 0, - for frame 1
            attn.qkv.weight[24 + 12 * head, 0] = -10  # key: the opposite
    mass = attention_share(model, batches(video_dir))
    assert mass.other[0] > 0.99


def test_other_decoders_and_no_pairs_are_refused(model, video_dir):
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        siam = SiamMAE(**SIZES)
    with pytest.raises(ValueError, match='CrossPairDecoder has no self-attention over both frames'):
        attention_share(siam, batches(video_dir))
    with pytest.raises(ValueError, match='no pairs'):
        attention_share(model, [])
    with pytest.raises(ValueError, match='expected 0 <= past <= future < 18'):
        PairBatches('b.mp4', open_clip(video_dir / 'b.mp4'), [(0, 18)], (1, 8), (32, 32), 2, seed=0)
