"""DropTrack: crops, candidate elimination, head, loading of pre-trained encoders, tracking, bad input."""

import math

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.runner import load_checkpoint
from mmengine.structures import InstanceData

from mmvidmae.apis import TrackingInferencer, get_model
from mmvidmae.models import PairMAEViT
from mmvidmae.models.selfsup import DropMAE, SiamMAE
from mmvidmae.models.trackers import CenterHead, CenterMaps, OneStreamViT, template_cells
from mmvidmae.models.trackers.center_head import decode, gaussian_heatmap
from mmvidmae.structures.boxes import box_to_crop, box_to_frame, clip_box, crop_padding, sample_crop

ARCH = dict(embed_dims=48, num_layers=4, num_heads=3, feedforward_channels=96)
ENCODER = dict(arch=ARCH, patch_size=8, ce_loc=(1, 2), ce_keep_ratio=(0.7, 0.6))


def tracker(**changes) -> torch.nn.Module:
    torch.manual_seed(0)
    model = dict(
        type='mmvidmae.DropTrack',
        template_size=32,
        search_size=64,
        search_factor=4.0,
        backbone=dict(type='mmvidmae.OneStreamViT', **ENCODER),
        head=dict(type='mmvidmae.CenterHead', channels=16),
    )
    return get_model(Config(dict(default_scope='mmtrack', model={**model, **changes})), device='cpu')


# ---- crops


@pytest.mark.parametrize('box', [(30, 20, 12, 9), (-5, -4, 20, 30), (80.4, 50.2, 17.7, 9.3), (0, 0, 96, 64)])
@pytest.mark.parametrize('factor', [2.0, 5.0])
def test_crop_is_the_square_around_the_box(box, factor):
    image = np.random.default_rng(0).integers(1, 256, (64, 96, 3), dtype=np.uint8)
    side = math.ceil(math.sqrt(box[2] * box[3]) * factor)
    crop, resize_factor = sample_crop(image, box, factor, side)
    assert resize_factor == 1
    # as published, a crop that reaches the last row or column loses it
    border = 600
    seen = np.pad(image, ((border, border), (border, border), (0, 0)))
    x1, y1 = (round(box[i] + box[i + 2] / 2 - side / 2) + border for i in (0, 1))
    if x1 + side >= border + 96:
        seen[:, border + 95] = 0
    if y1 + side >= border + 64:
        seen[border + 63] = 0
    expected = seen[y1 : y1 + side, x1 : x1 + side]
    np.testing.assert_array_equal(crop, expected)
    np.testing.assert_array_equal(crop_padding((64, 96), box, factor, side), (expected == 0).all(-1))


@pytest.mark.parametrize('box', [(500, 10, 20, 20), (-90, 10, 20, 20), (10, -300, 20, 20), (10, 900, 20, 20)])
def test_crop_far_outside_is_all_padding(box):
    image = np.full((64, 96, 3), 255, np.uint8)
    assert not sample_crop(image, box, 2.0, 16)[0].any()
    assert crop_padding((64, 96), box, 2.0, 16).all()


@pytest.mark.parametrize('box', [(1, 1, 0, 5), (1, 1, 5, -1), (math.nan, 1, 5, 5), (1, math.inf, 5, 5)])
def test_crop_needs_a_box(box):
    with pytest.raises(ValueError, match=r'cannot crop around the box \(x, y, w, h\) = \(.*no positive, finite area'):
        sample_crop(np.zeros((9, 9, 3), np.uint8), box, 2.0, 8)


def test_boxes_go_to_the_crop_and_back():
    around, box, factor = (10.0, 20.0, 30.0, 24.0), (14.0, 16.0, 26.0, 30.0), 1.7
    x, y, width, height = box_to_crop(box, around, factor, 128)
    # training takes (size - 1) / 2 for the crop's center, testing size / 2
    center = (x + width / 2 + 0.5, y + height / 2 + 0.5)
    back = box_to_frame([value / 128 for value in (*center, width, height)], around, factor, 128)
    np.testing.assert_allclose(back, box, atol=1e-9)


def test_a_target_that_leaves_waits_at_the_border():
    assert clip_box((-50, 10, 20, 20), (100, 200), 10) == [0, 10, 10, 20]
    assert clip_box((300, 500, 20, 20), (100, 200), 10) == [190, 90, 10, 10]


# ---- encoder


def naive(model: OneStreamViT, template, search, cells, rates):
    """All tokens through all layers, and what is eliminated no longer counts: an attention mask in place of gathers."""
    z, x = model.embed_role(template, 0), model.embed_role(search, 1)
    tokens, num_template = torch.cat((z, x), dim=1), z.shape[1]
    alive = torch.ones(tokens.shape[:2], dtype=torch.bool)
    for i, layer in enumerate(model.layers):
        attn = layer.attn
        q, k, v = attn.qkv(layer.ln1(tokens)).unflatten(2, (3, attn.num_heads, -1)).permute(2, 0, 3, 1, 4)
        logits = (q @ k.mT * q.shape[-1] ** -0.5).masked_fill(~alive[:, None, None], -torch.inf)
        weights = logits.softmax(-1)
        tokens = tokens + attn.proj((weights @ v).transpose(1, 2).flatten(2))
        if i in rates:
            scores = weights[:, :, :num_template].mean(1)
            scores = scores.mean(1) if cells is None else scores[:, cells].mean(1)
            scores[:, :num_template] = 2
            scores[~alive] = -1
            num_alive = int(alive[0].sum()) - num_template
            keep = scores.topk(num_template + math.ceil(rates[i] * num_alive)).indices
            alive = torch.zeros_like(alive).scatter(1, keep, True)
        tokens = layer.ffn(layer.ln2(tokens), identity=tokens)
    out = model.ln1(tokens) * alive[..., None]
    return out[:, num_template:].mT.unflatten(2, model.grids[1])


@pytest.mark.parametrize(
    ('sizes', 'ce_loc'),
    [((32, 64), (1, 2)), ((32, 64), (0, 3)), ((48, 40), (2,)), (((24, 40), (64, 48)), (1, 3)), ((32, 64), ())],
)
@pytest.mark.parametrize('cells', ['CTR_POINT', 'CTR_REC', 'ALL'])
def test_elimination_is_what_a_mask_would_do(sizes, ce_loc, cells):
    torch.manual_seed(0)
    rates = dict(zip(ce_loc, (0.7, 0.55)))
    model = OneStreamViT(ARCH, *sizes, 8, ce_loc=ce_loc, ce_keep_ratio=tuple(rates.values())).eval()
    for p in model.parameters():
        torch.nn.init.normal_(p, std=0.3)
    height_width = [(size, size) if isinstance(size, int) else size for size in sizes]
    template, search = (torch.randn(2, 3, *size) for size in height_width)
    chosen = template_cells(cells, model.grids[0])
    with torch.no_grad():
        out = model(template, search, chosen)
        torch.testing.assert_close(out.search, naive(model, template, search, chosen, rates), atol=2e-5, rtol=1e-4)
        whole = model(template, search, chosen, keep_ratio=1.0)
    assert [len(ids[0]) for ids in whole.kept] == [math.prod(model.grids[1])] * len(rates)
    for ids in out.kept:
        assert all(len(set(row)) == len(row) for row in ids.tolist())


def test_gradients_reach_everything():
    model = OneStreamViT(template_size=32, search_size=64, **ENCODER)
    model(
        torch.randn(2, 3, 32, 32), torch.randn(2, 3, 64, 64), template_cells('CTR_POINT', (4, 4))
    ).search.sum().backward()
    assert [name for name, p in model.named_parameters() if p.grad is None] == []


def test_search_size_must_be_that_of_the_encoder():
    model = OneStreamViT(template_size=32, search_size=64, **ENCODER)
    with pytest.raises(ValueError, match=r'search region is 72 x 64 pixels, .* made for 64 x 64: set search_size'):
        model(torch.zeros(1, 3, 32, 32), torch.zeros(1, 3, 72, 64))
    with pytest.raises(ValueError, match='do not divide into patches of 8'):
        OneStreamViT(template_size=30, search_size=64, **ENCODER)
    with pytest.raises(ValueError, match=r'search_size must be .* got \(64, 60\)'):
        OneStreamViT(template_size=32, search_size=(64, 60), **ENCODER)
    with pytest.raises(ValueError, match=r'ce_loc \(3, 6, 9\) must name layers below 4'):
        OneStreamViT(ARCH, 32, 64, 8)
    with pytest.raises(ValueError, match=r'ce_keep_ratio must be in \(0, 1\]'):
        OneStreamViT(ARCH, 32, 64, 8, ce_loc=(1,), ce_keep_ratio=(0.0,))


# ---- pre-trained encoders


@pytest.fixture(scope='module')
def checkpoints(tmp_path_factory):
    """Files of pre-training: with frame identities, with a class token, and with patches of another size."""
    folder = tmp_path_factory.mktemp('pretrained')
    torch.manual_seed(1)
    decoder = dict(decoder_dims=24, depth=1, num_heads=2)
    for name, model, patch in (('dropmae', DropMAE, 8), ('siammae', SiamMAE, 8), ('patch4', DropMAE, 4)):
        model = model(backbone=dict(arch=ARCH, img_size=40, patch_size=patch), neck=decoder)
        model.init_weights()
        torch.save(dict(state_dict=model.state_dict()), folder / f'{name}.pth')
    return folder


def pretrained(path, **options) -> OneStreamViT:
    init_cfg = dict(type='Pretrained', checkpoint=str(path), prefix='backbone.')
    model = OneStreamViT(template_size=32, search_size=64, init_cfg=init_cfg, **{**ENCODER, **options})
    model.init_weights()
    return model


@pytest.mark.parametrize('frame_embed', [True, False])
@pytest.mark.parametrize('name', ['dropmae', 'siammae'])
def test_starts_from_pretrained_encoders(checkpoints, name, frame_embed):
    model = pretrained(checkpoints / f'{name}.pth', frame_embed=frame_embed)
    state = torch.load(checkpoints / f'{name}.pth', weights_only=True)['state_dict']
    for key, value in model.state_dict().items():
        if key in ('pos_embed_z', 'pos_embed_x'):
            given = state['backbone.pos_embed'][:, -25:].mT.unflatten(2, (5, 5))
            side = (4, 8)[key == 'pos_embed_x']
            resized = torch.nn.functional.interpolate(given, (side, side), mode='bicubic').flatten(2).mT
            torch.testing.assert_close(value, resized)
        elif key == 'frame_embed' and name == 'siammae':
            assert not value.any()
        else:
            assert torch.equal(value, state[f'backbone.{key}'])
    assert model.pos_embed_z.requires_grad
    # the search region takes the identity of pre-training's frame 0, the template that of frame 1
    if frame_embed and name == 'dropmae':
        identity = state['backbone.frame_embed']
        frames = torch.zeros(1, 3, 32, 32), torch.zeros(1, 3, 64, 64)
        bias = state['backbone.patch_embed.projection.bias']
        template, search = (model.embed_role(frame, role) for role, frame in enumerate(frames))
        torch.testing.assert_close(template - model.pos_embed_z - bias, identity[:, 1].expand_as(template))
        torch.testing.assert_close(search - model.pos_embed_x - bias, identity[:, 0].expand_as(search))


def test_a_classifier_of_mmpretrain_and_an_own_checkpoint_of_another_size(tmp_path):
    from mmpretrain.models import VisionTransformer

    theirs = VisionTransformer(ARCH, 40, 8)
    torch.save(dict(state_dict={f'backbone.{k}': v for k, v in theirs.state_dict().items()}), tmp_path / 'vit.pth')
    model = pretrained(tmp_path / 'vit.pth', frame_embed=False)
    assert torch.equal(model.layers[3].ffn.layers[1].weight, theirs.layers[3].ffn.layers[1].weight)
    larger = OneStreamViT(template_size=40, search_size=80, **{**ENCODER, 'frame_embed': False})
    larger.load_state_dict(model.state_dict())
    assert larger.pos_embed_x.shape == (1, 100, 48)
    assert torch.equal(larger.ln1.weight, model.ln1.weight)


def test_what_does_not_fit_is_refused(checkpoints):
    with pytest.raises(
        ValueError, match=r'does not fit the encoder in 1 parameters: .*patch_embed\.projection\.weight'
    ):
        pretrained(checkpoints / 'patch4.pth')
    with pytest.raises(ValueError, match=r'layers\.4\.attn\.proj\.bias: missing, expected \(48,\)'):
        pretrained(checkpoints / 'dropmae.pth', arch={**ARCH, 'num_layers': 5})


def test_wide_encoders_are_not_needed_for_full_size():
    with torch.device('meta'):
        model = OneStreamViT('base')
    assert sum(p.numel() for p in model.parameters()) == 85_646_592 + (144 + 576 + 2) * 768
    assert isinstance(model, PairMAEViT)


# ---- head


@pytest.mark.parametrize('grid', [(8, 8), (5, 9), (3, 2)])
def test_one_cell_of_size_and_offset_is_enough(grid):
    torch.manual_seed(0)
    head = CenterHead(12, 16).eval()
    for p in head.parameters():
        torch.nn.init.normal_(p, std=0.4)
    search, window = torch.randn(40, 12, *grid), torch.rand(grid)
    with torch.no_grad():
        maps = head(search)
        for expected, found in zip(decode(maps, window), head.locate(search, window)):
            torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    assert len(set((maps.score * window).flatten(1).argmax(1).tolist())) > 1


def test_perfect_maps_have_no_loss_and_give_the_box_back():
    boxes = torch.tensor([[0.25, 0.375, 0.25, 0.125], [0.5, 0.125, 0.25, 0.5]])
    heatmap = gaussian_heatmap(boxes, (16, 16))
    center = boxes[:, :2] + boxes[:, 2:] / 2
    maps = CenterMaps(
        heatmap[:, None].clamp(1e-4, 1 - 1e-4),
        boxes[:, 2:, None, None].expand(-1, -1, 16, 16),
        (center * 16 - (center * 16).round())[..., None, None].expand(-1, -1, 16, 16),
    )
    losses = CenterHead(8, 16).loss(maps, boxes)
    assert losses['loss_giou'] < 1e-5
    assert losses['loss_l1'] < 1e-5
    assert losses['iou'] > 1 - 1e-5
    torch.testing.assert_close(decode(maps)[0], torch.cat((center, boxes[:, 2:]), dim=1))
    worse = maps._replace(score=maps.score.flip(-1))
    assert CenterHead(8, 16).loss(worse, boxes)['loss_focal'] > 2 * losses['loss_focal']


def test_losses_stay_finite_in_half_precision():
    head = CenterHead(8, 16)
    torch.nn.init.constant_(head.score[4].bias, 30.0)
    with torch.autocast('cpu', torch.bfloat16):
        losses = head.loss(head(torch.randn(2, 8, 8, 8)), torch.rand(2, 4))
    assert all(value.isfinite() for value in losses.values())


# ---- tracking


def track(model, video, box, **options):
    """Boxes and scores of a video."""
    tracked = TrackingInferencer(model, show_progress=False)(video, box, **options)['predictions']
    return np.array(tracked['boxes_xywh']), np.array(tracked['scores'])


def moving_square(num_frames: int, step: tuple[int, int] = (3, 2)) -> list[np.ndarray]:
    scene = np.random.default_rng(0).integers(0, 90, (90, 120, 3), dtype=np.uint8)
    frames = []
    for t in range(num_frames):
        frame = scene.copy()
        x, y = 20 + step[0] * t, 15 + step[1] * t
        frame[max(y, 0) : max(y + 20, 0), max(x, 0) : max(x + 20, 0)] = (250, 200, 30)
        frames.append(frame)
    return frames


@pytest.mark.slow
def test_a_tracker_learns_to_follow_in_a_minute():
    """From scratch, with its own loss, on what it is then asked to follow: the whole chain has to be right for it."""
    model = tracker(
        head=dict(type='mmvidmae.CenterHead', channels=64),
        backbone=dict(
            type='mmvidmae.OneStreamViT', arch={**ARCH, 'num_layers': 2}, patch_size=8, ce_loc=(), ce_keep_ratio=()
        ),
    )
    frames = moving_square(14)
    rng = np.random.default_rng(0)
    optimizer = torch.optim.AdamW(model.train().parameters(), 2e-3)
    model.keep_ratio = 1.0

    def batch(size: int = 16):
        templates, searches, boxes = [], [], []
        for t in rng.integers(0, 14, size):
            box = np.array((20.0 + 3 * t, 15.0 + 2 * t, 20, 20))
            # without a jitter of the size, a first error of it is never corrected
            center, side = box[:2] + 10 + rng.uniform(-12, 12, 2), 20 * np.exp(rng.normal(0, 0.2))
            around = np.array((*(center - side / 2), side, side))
            crop, factor = sample_crop(frames[t], around, 4.0, 64)
            templates.append(sample_crop(frames[t], box, 2.0, 32)[0])
            searches.append(crop)
            boxes.append(box_to_crop(box, around, factor, 64))
        images = [
            model.data_preprocessor.normalize(torch.from_numpy(np.stack(x)).permute(0, 3, 1, 2))
            for x in (templates, searches)
        ]
        boxes = torch.tensor(np.stack(boxes), dtype=torch.float32)
        boxes = torch.cat((boxes[:, :2], boxes[:, :2] + boxes[:, 2:]), dim=1)
        samples = [_Sample(InstanceData(bboxes=box[None])) for box in boxes]
        return dict(img=images[0], search_img=images[1]), samples

    for _ in range(200):
        losses = model.loss(*batch())
        total = sum(value for name, value in losses.items() if name.startswith('loss_'))
        optimizer.zero_grad()
        total.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    boxes, scores = track(model, [frame[..., ::-1] for frame in frames], (20, 15, 20, 20))
    centers = boxes[:, :2] + boxes[:, 2:] / 2
    expected = np.array([(30 + 3 * t, 25 + 2 * t) for t in range(14)])
    assert np.abs(centers - expected).max() < 5
    assert scores.shape == (14,)


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        (dict(search_factor=0), 'DropTrack: search_factor must be a positive number, got 0'),
        (dict(template_size=30), 'OneStreamViT: template_size must be .* got 30'),
        (dict(template_size='32'), "DropTrack: template_size must be one positive number of pixels, got '32'"),
        (dict(test_cfg=dict(test_mode='OPEN')), "test_cfg.test_mode must be 'OPE' or 'VOT', got 'OPEN'"),
        (dict(head=dict(type='mmvidmae.CenterHead', channels=60)), 'channels must be divisible by 8'),
        (dict(head=dict(type='mmvidmae.CenterHead', loss_weights=(1, 2))), 'loss_weights must be three numbers'),
    ],
)
def test_values_out_of_range_are_found_when_the_tracker_is_built(changes, message):
    with pytest.raises(ValueError, match=message):
        tracker(**changes)


class _Sample:
    def __init__(self, instances: InstanceData) -> None:
        self.search_gt_instances = instances


@pytest.mark.parametrize(
    ('box', 'message'),
    [
        ((10, 10, 0, 5), 'no positive, finite area'),
        ((math.nan, 10, 5, 5), 'no positive, finite area'),
        ((500, 10, 20, 20), r'first box .*\(500, 10, 20, 20\) lies outside the frame of 120 x 90 pixels'),
        ((-30, 10, 20, 20), 'lies outside the frame'),
    ],
)
def test_first_box_must_show_something(box, message):
    with pytest.raises(ValueError, match=message):
        track(tracker(), moving_square(2), box)


def test_lost_frames_one_frame_and_none():
    model = tracker()
    frames = moving_square(4)
    boxes, scores = track(model, [frames[0], None, frames[2]], (20, 15, 20, 20))
    assert scores[1] == 0
    assert boxes[1].tolist() == boxes[0].tolist() == [20, 15, 20, 20]
    boxes, scores = track(model, frames[:1], (-5, -5, 20, 20))
    assert (boxes.tolist(), scores.tolist()) == ([[-5, -5, 20, 20]], [1])
    with pytest.raises(ValueError, match='first frame, which shows the target, is missing'):
        track(model, [None, frames[0]], (20, 15, 20, 20))


def test_boxes_stay_in_the_frame_when_the_target_leaves():
    boxes, _ = track(tracker(), moving_square(12, (-9, -9)), (20, 15, 20, 20))
    assert np.isfinite(boxes).all()
    inside = np.minimum(boxes[1:, :2] + boxes[1:, 2:], (120, 90)) - np.maximum(boxes[1:, :2], 0)
    assert (inside >= 9.99).all()


def test_files_and_channel_order(tmp_path):
    model, frames = tracker(), moving_square(5)
    (tmp_path / 'clip').mkdir()
    for number, frame in enumerate(frames):
        cv2.imwrite(str(tmp_path / 'clip' / f'{number}.png'), frame)  # OpenCV takes it for BGR, readers give RGB
    boxes, scores = track(model, tmp_path / 'clip', (20, 15, 20, 20), out_dir=tmp_path / 'out')
    target, expected = model.initialize(frames[0], (20, 15, 20, 20)), []
    for frame in frames[1:]:
        target, score = model.track(frame, target)
        expected.append([*target.box, score])
    np.testing.assert_allclose(np.column_stack((boxes, scores))[1:], expected, atol=1e-6)
    np.testing.assert_allclose(np.loadtxt(tmp_path / 'out/preds/clip.txt', delimiter=','), boxes, atol=1e-3)
    assert Config.fromfile(tmp_path / 'out/preds/clip.json').scores == scores.tolist()
    capture = cv2.VideoCapture(str(tmp_path / 'out/vis/clip.mp4'))
    assert capture.get(cv2.CAP_PROP_FRAME_COUNT) == 5


def test_checkpoint_of_a_tracker_loads_strictly(tmp_path):
    model = tracker()
    torch.save(dict(state_dict=model.state_dict()), tmp_path / 'tracker.pth')
    other = tracker()
    torch.nn.init.zeros_(other.head.score[0].conv.weight)
    load_checkpoint(other, str(tmp_path / 'tracker.pth'), strict=True)
    assert all(torch.equal(a, b) for a, b in zip(model.state_dict().values(), other.state_dict().values()))
