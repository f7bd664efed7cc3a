"""DropSeg: objects in one batch, padding, memory, reference masks, losses, loading of encoders, and what is refused."""

import numpy as np
import pytest
import torch

from mmvidmae.models.backbones import PairMAEViT
from mmvidmae.models.segmentors import (
    BootstrappedCrossEntropy,
    DropSeg,
    MemoryMAEViT,
    VideoSegmentation,
    aggregate_objects,
)

ARCH = dict(embed_dims=32, num_layers=2, num_heads=2, feedforward_channels=64)
SMALL = dict(channels=(16, 8))


def model(**changes) -> DropSeg:
    torch.manual_seed(0)
    config = dict(backbone=dict(arch=ARCH, img_size=32, patch_size=8), neck=SMALL, decode_head=SMALL)
    return DropSeg(**{**config, **changes}).eval()


def video(num_frames: int = 4, size=(32, 48)) -> torch.Tensor:
    return torch.randint(256, (num_frames, 3, *size), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


def squares(size=(32, 48), ids=(1, 2)) -> np.ndarray:
    mask = np.zeros(size, np.uint8)
    for index, number in enumerate(ids):
        mask[8:16, 4 + 12 * index : 12 + 12 * index] = number
    return mask


def segment(net: DropSeg, frames, given, **options) -> np.ndarray:
    return torch.stack(list(net.segment_video(frames, given, **options))).numpy()


class TestPairs:
    def inputs(self):
        generator = torch.Generator().manual_seed(2)
        masks = torch.zeros(2, 2, 32, 48)
        masks[0, 0, 8:16, 4:12] = masks[0, 1, 8:16, 20:28] = masks[1, 0, 16:, :20] = 1
        return torch.randn(2, 2, 3, 32, 48, generator=generator), masks, [2, 1]

    @torch.no_grad()
    def test_objects_and_pairs_do_not_depend_on_the_batch(self):
        net = model()
        pairs, masks, counts = self.inputs()
        logits = net.segment_pairs(pairs, masks, counts)
        assert logits.shape == (2, 3, 32, 48)
        alone = net.segment_pairs(pairs[:1, :], masks[:1].flip(1), [2])
        assert torch.allclose(alone, logits[:1, [0, 2, 1]], atol=1e-4)
        other = masks.clone()
        other[1, 1] = 1  # an object that the second pair does not have
        assert torch.equal(net.segment_pairs(pairs, other, counts), logits)

    def test_absent_objects_are_no_choice(self):
        net = model()
        pairs, masks, counts = self.inputs()
        target = (masks * torch.tensor([1, 2])[:, None, None]).amax(1).long()
        losses = net.losses(net.segment_pairs(pairs, masks, counts), target, counts)
        assert losses['loss'] > 0
        single = net.losses(net.segment_pairs(pairs[1:], masks[1:, :1], [1]), target[1:], [1])['loss']
        first = net.losses(net.segment_pairs(pairs[:1], masks[:1], [2]), target[:1], [2])['loss']
        assert losses['loss'].item() == pytest.approx((single + first).item() / 2, rel=1e-5)

    def test_everything_but_positions_learns(self):
        net = model().train()
        pairs, masks, counts = self.inputs()
        target = (masks * torch.tensor([1, 2])[:, None, None]).amax(1).long()
        net.losses(net.segment_pairs(pairs, masks, counts), target, counts)['loss'].backward()
        assert [name for name, p in net.named_parameters() if p.requires_grad and p.grad is None] == []


def test_aggregation_by_hand():
    prob = torch.tensor([0.8, 0.5])[:, None, None]
    expected = torch.tensor([0.1 / 0.9, 0.8 / 0.2, 1.0])
    assert torch.allclose(aggregate_objects(prob).flatten().exp(), expected, rtol=1e-5)


def test_bootstrapping():
    logits, target = torch.randn(2, 3, 4, 4), torch.randint(3, (2, 4, 4))
    every = torch.nn.functional.cross_entropy(logits, target, reduction='none').flatten(1)
    loss = BootstrappedCrossEntropy()
    assert torch.allclose(loss(logits, target), every.mean())
    loss.top_share = 0.25
    assert torch.allclose(loss(logits, target), every.sort(dim=1, descending=True).values[:, :4].mean())


class TestVideos:
    def test_given_masks_come_back_and_ids_are_kept(self):
        mask = squares(ids=(3, 200))
        ids = segment(model(), video(), {0: mask})
        assert ids.dtype == np.uint8
        assert ids.shape == (4, 32, 48)
        assert np.array_equal(ids[0], mask)
        assert set(np.unique(ids)) <= {0, 3, 200}

    @pytest.mark.parametrize('size', [(32, 48), (37, 45), (17, 70), (33, 32)])
    def test_any_size(self, size):
        ids = segment(model(), video(2, size), {0: squares(size, ids=(1,))})
        assert ids.shape == (2, *size)
        assert segment(model(), video(2, size), {0: squares(size, ids=(1,))}, out_size=(20, 30)).shape == (2, 20, 30)

    def test_published_memory_is_the_given_frame_alone(self):
        """A frame's masks do not depend on the frames between."""
        net, frames = model(), video(4)
        ids = segment(net, frames, {0: squares()})
        assert np.array_equal(segment(net, frames[[0, 3]], {0: squares()})[1], ids[3])

    def test_memory_of_predictions_is_capped(self):
        net = model(memory_every=1, memory_frames=3)
        state = VideoSegmentation(net)
        sizes = []
        for number, frame in enumerate(video(6)):
            state.step(frame, squares() if number == 0 else None)
            sizes.append(state._memory.shape[1])
        assert sizes == [1, 2, 3, 3, 3, 3]
        plain = segment(model(), video(6), {0: squares()})
        assert not np.array_equal(segment(net, video(6), {0: squares()}), plain)

    def test_objects_that_appear_later(self):
        net, frames = model(), video(4)
        late = np.zeros((32, 48), np.uint8)
        late[20:28, 30:40] = 7
        ids = segment(net, frames, {0: squares(ids=(1,)), 2: late})
        assert 7 not in ids[:2]
        assert (ids[2][late == 7] == 7).all()
        assert np.array_equal(ids[:2], segment(net, frames[:2], {0: squares(ids=(1,))})), 'nothing changes before'

    def test_before_the_first_mask_all_is_background(self):
        ids = segment(model(), video(3), {1: squares()})
        assert not ids[0].any()
        assert np.array_equal(ids[1], squares())

    @pytest.mark.parametrize(
        ('given', 'message'),
        [
            ({0: np.zeros((32, 48), np.uint8)}, 'no object is given in any mask'),
            ({0: squares((16, 48))}, r'the mask of frame 0 has 16 x 48 pixels, but the frame 32 x 48'),
            ({0: squares().astype(np.int64) * 200}, 'has the id 400: ids are 1 to 255'),
            ({0: squares().astype(np.int64) - 1}, 'has the id -1'),
            ({0: np.zeros((32, 48, 3), np.uint8) + 1}, r'must be a label map, .* color pictures are read by'),
            ({0: squares().astype(np.float32)}, 'of whole numbers'),
            ({9: squares()}, 'a mask is given for frame 9, but the video has 4 frames'),
        ],
    )
    def test_masks_that_do_not_fit(self, given, message):
        with pytest.raises(ValueError, match=message):
            segment(model(), video(), given)

    def test_frames_that_do_not_fit(self):
        net = model()
        with pytest.raises(ValueError, match='frame 1 has 40 x 48 pixels, those before 32 x 48'):
            segment(net, [video(1)[0], video(1, (40, 48))[0]], {0: squares()})
        with pytest.raises(ValueError, match='uint8 RGB, got'):
            segment(net, video().float(), {0: squares()})

    def test_an_empty_mask_later_gives_nothing(self):
        net, frames = model(), video(3)
        empty = np.zeros((32, 48), np.uint8)
        assert np.array_equal(segment(net, frames, {0: squares(), 1: empty}), segment(net, frames, {0: squares()}))


class TestLoading:
    @pytest.mark.parametrize('frame_embed', [True, False])
    @pytest.mark.parametrize('with_cls_token', [True, False])
    def test_any_encoder(self, frame_embed, with_cls_token):
        encoder = PairMAEViT(ARCH, 64, 8, frame_embed=frame_embed, with_cls_token=with_cls_token)
        backbone = MemoryMAEViT(ARCH, 32, 8)
        before = backbone.mask_embed.weight.clone()
        backbone.load_state_dict(encoder.state_dict())
        assert torch.equal(backbone.layers[1].ffn.layers[1].weight, encoder.layers[1].ffn.layers[1].weight)
        assert torch.equal(backbone.mask_embed.weight, before)
        assert backbone.frame_embed.any() == frame_embed

    def test_another_architecture_is_named(self):
        encoder = PairMAEViT({**ARCH, 'num_layers': 3}, 32, 8, with_cls_token=False)
        with pytest.raises(ValueError, match=r'layers\.2\..*expected none.*patch_size that it was trained with'):
            MemoryMAEViT(ARCH, 32, 8).load_state_dict(encoder.state_dict())


@pytest.mark.parametrize('options', [dict(memory_every=0), dict(memory_every=1, memory_frames=1)])
def test_options_out_of_range(options):
    with pytest.raises(ValueError, match='memory_every of at least 1'):
        model(**options)


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(backbone=dict(arch=ARCH, img_size=60, patch_size=8)), 'MemoryMAEViT: img_size must be .* got 60'),
        (dict(neck=dict(channels=(16, 4))), r'must be the same, got \(16, 4\) and \(16, 8\)'),
        (dict(decode_head=dict(channels=(16,))), 'MaskDecoder: channels must be two positive whole numbers'),
        (dict(neck=dict(channels=(0, 8))), 'DeconvPyramid: channels must be two positive whole numbers'),
        (dict(loss_decode=dict(top_share=15)), 'BootstrappedCrossEntropy: expected 0 < top_share <= 1'),
    ],
)
def test_parts_out_of_range_are_found_when_the_model_is_built(options, message):
    with pytest.raises(ValueError, match=message):
        model(**options)
