"""Known motion: what is measured is what is true."""

import pytest
import torch
from mmengine.registry import init_default_scope

from mmvidmae.apis import KnownMotion, attention_accuracy, feature_accuracy, warp_frames
from mmvidmae.apis.correspondence import match_accuracy
from mmvidmae.models.masking import seeded_uniform
from mmvidmae.registry import MODELS

GRID = (6, 8)
CELLS = torch.cartesian_prod(torch.arange(6), torch.arange(8)).float()


def shifted(rows: int, columns: int) -> KnownMotion:
    """Noise, and a copy whose patches of 4 pixels come from ``rows`` below and ``columns`` to the right."""
    frames = torch.randint(256, (2, 3, 24, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    warped = frames.roll((-4 * rows, -4 * columns), dims=(2, 3))
    places = (CELLS + torch.tensor([rows, columns])).expand(2, -1, -1)
    inside = ((places >= 0) & (places <= torch.tensor([5, 7]))).all(-1)
    return KnownMotion(frames, warped, places, inside & (abs(rows) + abs(columns) > 1))


def all_keys() -> torch.Tensor:
    return torch.ones(2, 48, dtype=torch.bool)


def test_warps_move_pixels_as_they_say():
    """Frames whose two channels are the row and the column of a pixel: the copy shows where a pixel comes from."""
    rows, columns = torch.meshgrid(torch.arange(48.0), torch.arange(64.0), indexing='ij')
    frames = torch.stack((rows, columns, rows))[None].repeat(16, 1, 1, 1).to(torch.uint8)
    motion = warp_frames(frames, GRID, seed=3)
    inside = motion.moved
    shown = motion.warped[:, :2].float().unflatten(2, (6, 8)).unflatten(4, (8, 8)).mean((3, 5)).flatten(2).mT
    said = 8 * (motion.places + 0.5) - 0.5  # in pixels
    away_from_border = inside & ((said > 8) & (said < torch.tensor([39, 55]))).all(-1)
    assert away_from_border.sum() > 100
    assert (shown - said)[away_from_border].abs().max() < 0.6
    assert 0.3 < inside.float().mean() < 0.9
    assert ((motion.places - CELLS).norm(dim=-1) > 1)[inside].all()
    assert torch.equal(warp_frames(frames, GRID, seed=3).warped, motion.warped)
    assert not torch.equal(warp_frames(frames, GRID, seed=4).warped, motion.warped)


def test_similarity_that_knows_the_truth_is_right_and_one_that_knows_positions_never():
    motion = warp_frames(torch.zeros(64, 3, 24, 32, dtype=torch.uint8), GRID)
    keys = torch.ones(64, 48, dtype=torch.bool)
    truth = -torch.cdist(motion.places, CELLS.expand(64, -1, -1))
    accuracy, chance = match_accuracy(truth, motion, GRID, keys)
    assert accuracy == 1
    assert 2 / 48 < chance < 5 / 48
    same_place = torch.eye(48).expand(64, -1, -1)
    assert match_accuracy(same_place, motion, GRID, keys)[0] == 0
    torch.manual_seed(0)
    guess = match_accuracy(torch.rand(64, 48, 48), motion, GRID, keys)[0]
    assert guess == pytest.approx(chance, rel=0.25)


def test_only_visible_patches_can_be_found():
    motion = shifted(0, 2)
    keys = all_keys()
    keys[:, ::2] = False
    truth = -torch.cdist(motion.places, CELLS.expand(2, -1, -1))
    accuracy, chance = match_accuracy(truth, motion, GRID, keys)
    assert accuracy == 1, 'of the two visible neighbors of a hidden true place, either is within one patch'
    assert 1 / 24 <= chance <= 4 / 24
    with pytest.raises(ValueError, match='no patch has moved'):
        match_accuracy(truth, motion, GRID, torch.zeros_like(keys))


def build(method: str, **parts):
    init_default_scope('mmpretrain')
    torch.manual_seed(0)
    arch = dict(embed_dims=24, num_layers=2, num_heads=2, feedforward_channels=48)
    backbone = {**dict(arch=arch, img_size=(24, 32), patch_size=4), **parts.pop('backbone', {})}
    neck = {**dict(decoder_dims=32, depth=3, num_heads=4), **parts.pop('neck', {})}
    model = MODELS.build(dict(type=f'mmvidmae.{method}', backbone=backbone, neck=neck, **parts))
    model.init_weights()
    return model.eval()


def test_features_of_pixels_find_shifted_noise():
    """An encoder without layers that mix tokens and without positions: features are linear in a patch's pixels."""
    model = build('SiamMAE')
    with torch.no_grad():
        model.backbone.pos_embed.zero_()
        for layer in model.backbone.layers:
            layer.attn.proj.weight.zero_()
            layer.ffn.layers[1].weight.zero_()
    result = feature_accuracy(model, shifted(1, -2))
    assert result.accuracy == [1, 1]
    with torch.no_grad():  # positions drown the pixels
        model.backbone.pos_embed.add_(1e4 * torch.randn(1, 49, 24))
    assert feature_accuracy(model, shifted(1, -2), layers=[1]).accuracy == [0]


def aim_attention(model, motion: KnownMotion, columns: int, kept: list[int]) -> None:
    """Make the first attention of a decoder of one head look from each patch of the later frame at that ``columns``
    to the right in the earlier frame, or at one beside it, of those that are ``kept`` there: its tokens for one pair
    are linearly independent, so weights can be solved."""
    block = model.neck.decoder_blocks[0]
    attn = next(getattr(block, name) for name in ('cross_attn', 'attn', 'self_attn') if hasattr(block, name))
    seen = []
    handle = attn.register_forward_pre_hook(lambda _, args: seen.append(args))
    attention_accuracy(model, motion)
    handle.remove()
    cross = hasattr(block, 'cross_attn')
    tokens = seen[0][0][0].detach()
    memory = seen[0][1][0].detach() if cross else tokens
    width = tokens.shape[-1]
    queries, keys = torch.zeros(len(tokens), width), torch.zeros(len(memory), width)
    past = len(memory) - len(kept) if cross else (len(memory) - 48 - len(kept)) // 2
    for number, place in enumerate(kept):
        keys[past + number, place] = 50
    for place in range(48):
        if 0 <= place % 8 + columns < 8:
            distance = (CELLS[kept] - CELLS[place + columns]).norm(dim=-1)
            queries[len(tokens) - 48 + place, kept[distance.argmin()]] = 50
    with torch.no_grad():
        to_query = torch.linalg.lstsq(tokens.double(), queries.double()).solution.mT
        to_key = torch.linalg.lstsq(memory.double(), keys.double()).solution.mT
        if cross:
            attn.q.weight.copy_(to_query)
            attn.kv.weight[:width].copy_(to_key)
        else:
            attn.qkv.weight[:width].copy_(to_query)
            attn.qkv.weight[width : 2 * width].copy_(to_key)


WHOLE_PAST = dict(type='mmvidmae.AsymmetricMasking', mask_ratio=(0.0, 0.75))
HALF_PAST = dict(type='mmvidmae.AsymmetricMasking', mask_ratio=(0.5, 0.75))
THREE = dict(type='mmvidmae.AsymmetricMasking', mask_ratio=(0.5, 0.75, 0.25))
BRANCHES = (
    dict(targets=(2,), memory=(1,), name='other'),
    dict(targets=(1,), memory=(2, 0), name='looked at'),
)


@pytest.mark.parametrize(
    ('method', 'parts'),
    [
        ('SiamMAE', {}),
        ('SiamMAE', dict(neck=dict(order=('self', 'ffn')))),
        ('SiamMAE', dict(masking=HALF_PAST)),
        ('SiamMAE', dict(masking=HALF_PAST, neck=dict(order=('self', 'ffn')))),
        ('DropMAE', dict(masking=WHOLE_PAST)),
        ('ToBo', {}),
        ('CatMAE', {}),
        ('RSP', {}),
        ('SiamMAE', dict(num_frames=3, masking=THREE, neck=dict(branches=BRANCHES))),
    ],
)
def test_attention_to_the_true_place_is_found(method, parts):
    motion = KnownMotion(*(part[:1] for part in shifted(0, 2)))
    neck = dict(parts.get('neck', {}), decoder_dims=128, depth=1, num_heads=1)
    arch = dict(embed_dims=96, num_layers=1, num_heads=2, feedforward_channels=96)
    model = build(method, **dict(parts, neck=neck, backbone=dict(arch=arch)))
    with torch.no_grad():
        model.neck.decoder_pos_embed.normal_()
    before = attention_accuracy(model, motion)
    masks = model.masking(seeded_uniform(torch.arange(1), 48 * model.num_frames), GRID)
    kept = masks[0].ids_keep[0].tolist()
    assert len(kept) == (24 if parts.get('masking') in (HALF_PAST, THREE) else 48)
    aim_attention(model, motion, 2, kept)
    after = attention_accuracy(model, motion)
    assert after.accuracy == [1]
    assert before.accuracy[0] < 0.35
    assert after.chance == before.chance < 0.2
    aim_attention(model, motion, -2, kept)
    assert attention_accuracy(model, motion).accuracy[0] < 0.35


def test_hidden_patches_are_no_answers_and_a_decoder_without_the_other_frame_has_none():
    motion = shifted(0, 2)
    result = attention_accuracy(build('DropMAE'), motion)
    assert len(result.accuracy) == 3
    assert result.chance > 1 / 24, 'few of 48 patches are visible'
    assert attention_accuracy(build('DropMAE'), motion) == result, 'masks follow from the seed'
    masking = dict(type='mmvidmae.PerFrameRandomMasking', mask_ratio=0.75)
    neck = dict(type='mmvidmae.FrameDecoder')
    single = build('PairMAE', masking=masking, backbone=dict(encoding='siamese'), neck=neck)
    assert attention_accuracy(single, motion) is None
    backward = build('SiamMAE', masking=HALF_PAST, neck=dict(branches=[dict(targets=(0,), memory=(1,))]))
    assert attention_accuracy(backward, motion) is None


def test_features_of_any_encoder():
    """An encoder whose layers are not those of a ViT gives the accuracy of its last output."""
    patches = torch.nn.Unfold(4, stride=4)
    model = torch.nn.Module()
    model.data_preprocessor = lambda batch: dict(inputs=batch['inputs'].float())
    model.backbone = torch.nn.Module()
    model.backbone.forward = lambda frames: (frames, (patches(frames) - 128).unflatten(2, GRID))
    assert feature_accuracy(model, shifted(1, -2)).accuracy == [1]
