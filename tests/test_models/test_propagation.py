"""Label propagation: the search against a dense one, masks and poses, backbones, checkpoints, bad input."""

import math

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mmengine.registry import init_default_scope
from mmengine.runner import load_checkpoint
from mmpretrain.structures import DataSample
from PIL import Image

from mmvidmae.models.layers import interpolate_pos_embed_dino
from mmvidmae.models.propagation import (
    PROTOCOLS,
    LabelPropagator,
    MaskLabels,
    PoseLabels,
    affinity,
    make_protocol,
    propagate_features,
    top_affinities,
    transfer_labels,
)
from mmvidmae.models.propagation.labels import resize_nearest
from mmvidmae.models.selfsup import DropMAE, SiamMAE
from mmvidmae.registry import MODELS

ARCH = dict(embed_dims=24, num_layers=2, num_heads=2, feedforward_channels=48)
BACKBONE = dict(type='mmvidmae.PairMAEViT', arch=ARCH, img_size=32, patch_size=8)


@pytest.fixture(autouse=True)
def scope():
    init_default_scope('mmpretrain')
    torch.manual_seed(0)


def dense(query, keys, topk, radius, window, num_free):
    """All similarities, a mask of all pairs of cells, one top-k."""
    size_a, size_b = query.shape[:2]
    rows, columns = (x.flatten() for x in torch.meshgrid(torch.arange(size_a), torch.arange(size_b), indexing='ij'))
    down, right = (rows[:, None] - rows).abs(), (columns[:, None] - columns).abs()
    if radius is None:
        near = torch.ones_like(down, dtype=torch.bool)
    else:
        near = (down <= radius) & (right <= radius) if window == 'square' else (down**2 + right**2).sqrt() < radius
    similarity = torch.einsum('qc,skc->qsk', query.flatten(0, 1), torch.cat(keys).flatten(1, 2))
    allowed = near[:, None].repeat(1, sum(map(len, keys)), 1)
    allowed[:, : sum(map(len, keys[:num_free]))] = True
    return similarity.masked_fill(~allowed, -math.inf).flatten(1).topk(topk, dim=1)


@pytest.mark.parametrize('budget', [1, 5000, 2**21])
@pytest.mark.parametrize(
    ('window', 'radius'), [('square', 3), ('square', 0), ('disk', 3), ('disk', 2.5), ('disk', None)]
)
@pytest.mark.parametrize(
    ('grid', 'groups', 'num_free'), [((25, 14), (1, 6), 1), ((9, 31), (2, 4, 3), 0), ((30, 9), (9,), 0)]
)
def test_bands_find_what_a_dense_search_finds(monkeypatch, budget, window, radius, grid, groups, num_free):
    monkeypatch.setitem(affinity.BUDGET, 'cpu', budget)
    query = F.normalize(torch.randn(*grid, 8), dim=-1)
    keys = [F.normalize(torch.randn(n, *grid, 8), dim=-1) for n in groups]
    values, index = top_affinities(query, keys, 7, radius, window, num_free)
    expected, cells = dense(query, keys, 7, radius, window, num_free)
    torch.testing.assert_close(values, expected, atol=1e-6, rtol=0)
    found = values.isfinite()
    assert torch.equal(index[found], cells[found])


def test_fewer_cells_than_k():
    query = F.normalize(torch.randn(2, 3, 4), dim=-1)
    values, index = top_affinities(query, [query[None]], 10, radius=1)
    assert values.shape == index.shape == (6, 6)
    assert values.isfinite().sum(1).tolist() == [4, 6, 4, 4, 6, 4]  # corners see 2 x 2 cells, the middle 2 x 3
    labels = torch.rand(6, 2)
    out = transfer_labels(labels, values, index, 0.1)
    weights = torch.zeros(6, 6).scatter_(1, index, (values / 0.1).softmax(1))
    torch.testing.assert_close(out, weights @ labels)


def test_a_query_finds_itself_and_takes_its_label():
    features = F.normalize(torch.randn(40, 60, 16), dim=-1)
    values, index = top_affinities(features, [features[None]], 1, radius=5)
    assert torch.equal(index[:, 0], torch.arange(2400))
    torch.testing.assert_close(values, torch.ones(2400, 1))


def shifting_features(num_frames: int, grid=(12, 20), dims: int = 32) -> torch.Tensor:
    """Random features that move by one cell to the right a frame, in circles; ``(T, C, h, w)``."""
    first = F.normalize(torch.randn(dims, *grid), dim=0)
    return torch.stack([first.roll(step, dims=2) for step in range(num_frames)])


@pytest.mark.parametrize('preset', PROTOCOLS)
@pytest.mark.parametrize('grid', [(12, 20), (20, 12)])
def test_masks_follow_their_features(preset, grid):
    protocol = make_protocol(preset, temperature=0.01)
    mask = torch.zeros(grid[0] * 4, grid[1] * 4, dtype=torch.uint8)
    mask[16:32, 8:24], mask[36:44, 8:16] = 1, 7
    labels = MaskLabels({0: mask}, tuple(mask.shape), tuple(mask.shape), protocol)
    for frame, soft in propagate_features(shifting_features(6, grid), labels, protocol):
        assert soft.shape == (3, *grid)
        predicted = labels.decode(frame, soft)
        assert predicted.dtype == torch.uint8
        expected = mask.roll(4 * frame, dims=1)
        agreement = (predicted == expected).float().mean()
        assert agreement > 0.95, (frame, agreement)
        assert set(predicted.unique().tolist()) == {0, 1, 7}


def test_objects_that_appear_later():
    protocol = make_protocol('dino', temperature=0.01)
    first, later = torch.zeros(2, 48, 80, dtype=torch.uint8)
    first[8:24, 8:24], later[32:40, 40:56] = 1, 2
    labels = MaskLabels({1: first, 3: later}, (48, 80), (48, 80), protocol)
    predicted = {f: labels.decode(f, s) for f, s in propagate_features(shifting_features(7), labels, protocol)}
    assert list(predicted) == [1, 2, 3, 4, 5, 6], 'nothing is known before the first given frame'
    assert torch.equal(predicted[1], first)
    assert predicted[2].unique().tolist() == [0, 1]
    for frame in (3, 6):
        # as much of the second object as of the first is where it has moved to
        assert (predicted[frame] == 1).float()[first.roll(4 * (frame - 1), 1) == 1].mean() > 0.95
        assert (predicted[frame] == 2).float()[later.roll(4 * (frame - 3), 1) == 2].mean() > 0.95


def test_a_new_object_does_not_touch_the_rest():
    protocol = make_protocol('cropmae')
    masks = torch.zeros(2, 48, 80, dtype=torch.uint8)
    masks[0, 8:24, 8:24], masks[1, 32:40, 40:56] = 1, 2
    features = shifting_features(4)
    both = MaskLabels({0: masks[0], 2: masks[1]}, (48, 80), (48, 80), protocol)
    alone = MaskLabels({0: masks[0]}, (48, 80), (48, 80), protocol)
    with_new, without = (
        [soft for _, soft in propagate_features(features, labels, protocol)] for labels in (both, alone)
    )
    untouched = both.given(2, (12, 20), torch.device('cpu'))[2] == 0
    torch.testing.assert_close(with_new[2][:2, untouched], without[2][:, untouched])
    torch.testing.assert_close(with_new[3].sum(0), torch.ones(12, 20))


def test_poses_follow_their_features():
    protocol = make_protocol('cropmae', temperature=0.01)
    joints = np.array([[100.0, 60.0], [40.0, 100.0], [-500.0, -500.0]])
    labels = PoseLabels(joints, (120, 200), protocol)
    for frame, soft in propagate_features(shifting_features(5), labels, protocol):
        predicted = labels.decode(frame, soft).numpy()
        np.testing.assert_allclose(predicted[:2], joints[:2] + np.array([10 * frame, 0]), atol=10)  # within a cell
        assert predicted[2].tolist() == [-1, -1]


@pytest.mark.parametrize('size', [(480, 854), (31, 57), (1, 3)])
def test_masks_at_any_size(size):
    mask = np.zeros(size, np.uint8)
    mask[: size[0] // 2 + 1, : size[1] // 2] = 3
    for preset in PROTOCOLS:
        protocol = make_protocol(preset)
        labels = MaskLabels({0: mask}, (96, 160), size, protocol)
        soft = labels.given(0, (12, 20), torch.device('cpu'))
        torch.testing.assert_close(soft.sum(0), torch.ones(12, 20))
        assert labels.decode(0, soft).shape == size


@pytest.mark.parametrize('seed', range(20))
def test_nearest_neighbors_are_those_of_pillow_and_opencv(seed):
    height, width, new_height, new_width = np.random.default_rng(seed).integers(1, 400, 4).tolist()
    image = np.arange(height * width, dtype=np.float32).reshape(height, width)
    pillow = np.asarray(Image.fromarray(image).resize((new_width, new_height), Image.NEAREST))
    opencv = cv2.resize(image, (new_width, new_height), interpolation=cv2.INTER_NEAREST)
    for center, expected in ((True, pillow), (False, opencv)):
        resized = resize_nearest(torch.from_numpy(image), (new_height, new_width), center)
        assert np.array_equal(resized.numpy(), expected)


def sample(frames: torch.Tensor, **fields) -> DataSample:
    size = tuple(frames.shape[-2:])
    result = DataSample(metainfo=dict(ori_shape=size, out_shape=size))
    for name, value in fields.items():
        result.set_field(value, name)
    return result


def moving_square(num_frames: int = 5) -> tuple[torch.Tensor, np.ndarray]:
    """A patterned square that moves over noise, and its masks."""
    frames = torch.randint(60, (1, 3, 64, 96), dtype=torch.uint8).repeat(num_frames, 1, 1, 1)
    masks = np.zeros((num_frames, 64, 96), np.uint8)
    pattern = torch.randint(120, 256, (3, 32, 32), dtype=torch.uint8)
    for frame in range(num_frames):
        left = 8 + 8 * frame
        frames[frame, :, 16:48, left : left + 32] = pattern
        masks[frame, 16:48, left : left + 32] = 1
    return frames, masks


BACKBONES = {
    'ours': BACKBONE,
    'dino positions': dict(BACKBONE, pos_interp='dino'),
    'mmpretrain ViT': dict(
        type='mmpretrain.VisionTransformer', arch=ARCH, img_size=32, patch_size=8, out_type='featmap'
    ),
    'ResNet': dict(type='mmpretrain.ResNet', depth=18, out_indices=(1,)),
}


@pytest.mark.parametrize('backbone', BACKBONES)
@pytest.mark.parametrize('batch_size', [1, 4])
def test_any_backbone(backbone, batch_size):
    model = MODELS.build(
        dict(type='mmvidmae.LabelPropagator', backbone=BACKBONES[backbone], protocol='dino', batch_size=batch_size)
    )
    assert not model.training
    assert not model.train().backbone.training
    frames, masks = moving_square()
    data = dict(inputs=[frames], data_samples=[sample(frames, reference_masks={0: masks[0]})])
    (result,) = model.test_step(data)
    assert result.pred_masks.shape == masks.shape
    assert result.pred_masks.dtype == np.uint8
    assert np.array_equal(result.pred_masks[0], masks[0])
    overlap = (result.pred_masks & masks).sum((1, 2)) / (result.pred_masks | masks).sum((1, 2))
    assert overlap.min() > 0.5, overlap
    assert result.protocol == dict(preset='dino', **PROTOCOLS['dino'].as_dict())


def test_batches_do_not_change_the_features():
    frames, _ = moving_square(7)
    outs = []
    for batch_size in (1, 3, 7):
        torch.manual_seed(1)
        model = LabelPropagator(BACKBONE, 'dino', batch_size)
        (features,) = model(**model.data_preprocessor(dict(inputs=[frames], data_samples=None)))
        assert features.shape == (7, 24, 8, 12)
        assert not features.requires_grad
        torch.testing.assert_close(features.norm(dim=1), torch.ones(7, 8, 12))
        outs.append(features)
    torch.testing.assert_close(outs[0], outs[1], atol=1e-5, rtol=0)
    torch.testing.assert_close(outs[0], outs[2], atol=1e-5, rtol=0)


def test_poses_through_the_model():
    frames, _ = moving_square(4)
    joints = np.array([[24.0, 32.0], [40.0, 20.0]])
    model = LabelPropagator(BACKBONE, dict(preset='cropmae', temperature=0.05))
    (result,) = model.test_step(dict(inputs=[frames], data_samples=[sample(frames, reference_joints=joints)]))
    assert result.pred_joints.shape == (4, 2, 2)
    np.testing.assert_allclose(result.pred_joints[0], joints, atol=8)
    assert result.pred_joints.dtype == np.float64


def test_a_video_of_one_frame():
    frames, masks = moving_square(1)
    (result,) = LabelPropagator(BACKBONE, 'dino').test_step(
        dict(inputs=[frames], data_samples=[sample(frames, reference_masks={0: masks[0]})])
    )
    assert np.array_equal(result.pred_masks, masks)


def test_takes_the_encoder_of_a_pretraining_checkpoint(tmp_path):
    pretrained = SiamMAE(backbone=dict(BACKBONE), neck=dict(decoder_dims=32, depth=1, num_heads=4))
    pretrained.init_weights()
    torch.save(dict(state_dict=pretrained.state_dict()), tmp_path / 'epoch_1.pth')
    model = LabelPropagator(BACKBONE)
    load_checkpoint(model, str(tmp_path / 'epoch_1.pth'))
    for name, value in pretrained.backbone.state_dict().items():
        assert torch.equal(model.backbone.state_dict()[name], value), name


def test_refuses_a_checkpoint_that_does_not_fit(tmp_path):
    torch.save(dict(model={'blocks.0.attn.qkv.weight': torch.zeros(3)}), tmp_path / 'author.pth')
    with pytest.raises(ValueError, match=r'no parameter of the backbone.*convert\.py'):
        load_checkpoint(LabelPropagator(BACKBONE), str(tmp_path / 'author.pth'))

    drop = DropMAE(backbone=dict(BACKBONE), neck=dict(decoder_dims=32, depth=1, num_heads=4))
    torch.save(dict(state_dict=drop.state_dict()), tmp_path / 'dropmae.pth')
    with pytest.raises(
        ValueError, match=r"missing \['backbone.cls_token'.*unknown \['backbone.frame_embed'.*frame_embed=True"
    ):
        load_checkpoint(LabelPropagator(BACKBONE), str(tmp_path / 'dropmae.pth'))
    model = LabelPropagator(dict(BACKBONE, frame_embed=True, with_cls_token=False))
    load_checkpoint(model, str(tmp_path / 'dropmae.pth'))
    assert torch.equal(model.backbone.frame_embed, drop.backbone.frame_embed)


def test_untrained_backbones_are_initialized_as_for_training():
    torch.manual_seed(3)
    model = LabelPropagator(BACKBONE)
    torch.manual_seed(3)
    backbone = MODELS.build(BACKBONE)
    backbone.init_weights()
    for name, value in backbone.state_dict().items():
        assert torch.equal(model.backbone.state_dict()[name], value), name


@pytest.mark.parametrize(
    ('protocol', 'message'),
    [
        ('davis', 'preset must be one of dino, crw, cropmae, rvm, siammae_paper'),
        (dict(topk=5), 'must name its preset'),
        (dict(preset='dino', top_k=5), 'no option top_k; did you mean topk'),
        (dict(preset='dino', topk=0), 'topk must be a whole number of at least 1'),
        (dict(preset='dino', queue=1.5), 'queue must be a whole number'),
        (dict(preset='dino', temperature=0), 'temperature must be above 0'),
        (dict(preset='crw', radius=0), 'radius of a disk must be at least 1'),
        (dict(preset='crw', window='round'), 'window must be one of'),
    ],
)
def test_a_protocol_that_cannot_be(protocol, message):
    with pytest.raises(ValueError, match=message):
        LabelPropagator(BACKBONE, protocol)


def test_bad_input():
    frames, masks = moving_square(2)
    model = LabelPropagator(BACKBONE, 'dino')
    with pytest.raises(RuntimeError, match='frozen'):
        model([frames], mode='loss')
    with pytest.raises(ValueError, match='no object is given'):
        model.test_step(dict(inputs=[frames], data_samples=[sample(frames, reference_masks={0: 0 * masks[0]})]))
    no_map = dict(type='mmpretrain.VisionTransformer', arch=ARCH, img_size=32, patch_size=8)
    with pytest.raises(ValueError, match=r"out_type='featmap'"):
        LabelPropagator(no_map)([frames], mode='tensor')


def test_positions_as_dino_interpolates_them():
    torch.manual_seed(0)
    plain, dino = (MODELS.build(dict(BACKBONE, pos_interp=how)) for how in ('size', 'dino'))
    dino.load_state_dict(plain.state_dict())
    same, other = torch.rand(1, 3, 32, 32), torch.rand(1, 3, 48, 80)
    assert torch.equal(plain(same)[0], dino(same)[0])
    assert not torch.equal(plain(other)[0], dino(other)[0])
    # sampled at (i + 0.5) / scale - 0.5 with the scales 6.1 / 4 and 10.1 / 4, in units where a cell is 2 / 4 wide
    pos_embed = torch.randn(1, 16, 8)
    y, x = ((torch.arange(n) + 0.5) / (n + 0.1) * 2 - 1 for n in (6, 10))
    points = torch.stack(torch.meshgrid(y, x, indexing='ij')[::-1], dim=-1)[None]
    expected = F.grid_sample(
        pos_embed.mT.unflatten(2, (4, 4)), points, mode='bicubic', padding_mode='border', align_corners=False
    )
    torch.testing.assert_close(interpolate_pos_embed_dino(pos_embed, (4, 4), (6, 10)), expected.flatten(2).mT)
    with pytest.raises(ValueError, match='pos_interp'):
        MODELS.build(dict(BACKBONE, pos_interp='bicubic'))
