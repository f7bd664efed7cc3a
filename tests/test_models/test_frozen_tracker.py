"""FrozenTracker: what it follows, by which matcher, with how much memory, and where it is used."""

from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mmengine.config import Config
from mmengine.registry import DefaultScope
from torch import nn

from mmvidmae.apis import TrackingInferencer
from mmvidmae.models.trackers import FrozenTracker
from mmvidmae.models.trackers.matchers import box_mask
from mmvidmae.registry import MODELS

ROOT = Path(__file__).resolve().parents[2]
CONFIGS = sorted((ROOT / 'configs/frozen_tracking').glob('*.py'))
ARCH = dict(embed_dims=48, num_layers=2, num_heads=3, feedforward_channels=96)
VIT = dict(type='mmvidmae.PairMAEViT', arch=ARCH, img_size=144, patch_size=8)
MATCHERS = dict(
    propagation=dict(type='mmvidmae.PropagationMatcher'), correlation=dict(type='mmvidmae.CorrelationMatcher')
)


class Colors(nn.Module):
    """Patches of 8 pixels as the mean colors of their quarters."""

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor]:
        return (F.pixel_unshuffle(F.avg_pool2d(x, 4), 2),)


def tracker(matcher: str = 'propagation', backbone: dict | nn.Module | None = None, **changes) -> FrozenTracker:
    torch.manual_seed(0)
    changes = dict(search_size=144) | changes
    return FrozenTracker(Colors() if backbone is None else backbone, MATCHERS[matcher], **changes)


def texture(seed: int, height: int, width: int, cells: int) -> np.ndarray:
    coarse = np.random.default_rng(seed).integers(0, 256, (cells, cells, 3), dtype=np.uint8)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)


def scene(boxes: list[tuple], seed: int = 1, size=(160, 240), frame: np.ndarray | None = None) -> list[np.ndarray]:
    """Frames in which a textured patch is in one of the boxes (x, y, w, h), on a background of random texture."""
    frames = []
    for number, (x, y, width, height) in enumerate(boxes):
        canvas = np.pad(texture(0, *size, 24) if frame is None else frame[number], ((200, 200), (200, 200), (0, 0)))
        canvas[200 + y : 200 + y + height, 200 + x : 200 + x + width] = texture(seed, height, width, 4)
        frames.append(np.ascontiguousarray(canvas[200:-200, 200:-200]))
    return frames


def moving(number: int = 20) -> list[tuple]:
    return [(40 + 5 * i, 50 + round(12 * np.sin(i / 3)), 32, 40) for i in range(number)]


def iou(first, second) -> float:
    (x1, y1, w1, h1), (x2, y2, w2, h2) = first, second
    inner = max(0, min(x1 + w1, x2 + w2) - max(x1, x2)) * max(0, min(y1 + h1, y2 + h2) - max(y1, y2))
    return inner / (w1 * h1 + w2 * h2 - inner)


def follow(model: FrozenTracker, frames: list[np.ndarray], box) -> tuple[list[list[float]], list[float]]:
    target, scores = model.initialize(frames[0], box), [1.0]
    boxes = [target.box]
    for frame in frames[1:]:
        target, score = model.track(frame, target)
        boxes.append(target.box)
        scores.append(score)
    return boxes, scores


@pytest.mark.parametrize('matcher', MATCHERS)
@pytest.mark.parametrize('backbone', [None, VIT], ids=['colors', 'random-vit'])
def test_follows_a_moving_patch(matcher, backbone):
    boxes = moving()
    found, scores = follow(tracker(matcher, backbone), scene(boxes), boxes[0])
    assert iou(boxes[0], boxes[-1]) == 0
    assert min(map(iou, boxes, found)) > 0.4
    assert all(0 <= score <= 1 for score in scores)


@pytest.mark.parametrize('matcher', MATCHERS)
@pytest.mark.parametrize('rate', [1.02, 1 / 1.02], ids=['grows', 'shrinks'])
def test_follows_a_change_of_scale(matcher, rate):
    sides = [48 * rate**i for i in range(25)]
    boxes = [
        (round(100 - side / 2 + 2 * i), round(80 - side / 2), round(side), round(side)) for i, side in enumerate(sides)
    ]
    frames = scene(boxes)
    found, _ = follow(tracker(matcher), frames, boxes[0])
    fixed, _ = follow(tracker(matcher, size_rate=0.0), frames, boxes[0])
    assert iou(found[-1], boxes[-1]) > max(0.45, iou(fixed[-1], boxes[-1]))


def test_two_targets_with_one_model_at_once():
    first, second = moving(), [(170 - 5 * i, 110 - 4 * i, 36, 30) for i in range(20)]
    frames = scene(second, 2, frame=scene(first))
    model = tracker()
    apart = [follow(model, frames, boxes[0])[0] for boxes in (first, second)]
    targets, together = [model.initialize(frames[0], boxes[0]) for boxes in (first, second)], []
    together.append([target.box for target in targets])
    for frame in frames[1:]:
        targets = [model.track(frame, target)[0] for target in targets]
        together.append([target.box for target in targets])
    assert [list(boxes) for boxes in zip(*together)] == apart


@pytest.mark.parametrize('matcher', MATCHERS)
def test_a_state_is_not_changed(matcher):
    boxes = moving(4)
    frames, model = scene(boxes), tracker(matcher)
    start = model.initialize(frames[0], boxes[0])
    for _ in range(2):
        state, _ = model.track(frames[1], start)
        first, _ = model.track(frames[2], state)
        second, _ = model.track(frames[2], state)
        assert first.box == second.box
    assert start.box == list(boxes[0])
    again = model.initialize(frames[0], boxes[0])
    assert all(torch.equal(a, b) for a, b in zip(start.matched, again.matched))


@pytest.mark.parametrize('queue', [0, 1, 3])
def test_memory_is_bounded(queue):
    boxes = moving(12)
    frames, model = scene(boxes), tracker()
    model.matcher = MODELS.build(dict(MATCHERS['propagation'], queue=queue))
    states = [model.initialize(frames[0], boxes[0])]
    for frame in frames[1:]:
        states.append(model.track(frame, states[-1])[0])
    lengths = [len(state.matched.masks) for state in states]
    assert lengths == [min(1 + i, 1 + queue) for i in range(12)]
    for before, state in pairwise(states):
        assert len(state.matched.features) == len(state.matched.masks)
        assert torch.equal(state.matched.masks[0], states[0].matched.masks[0])
        if queue > 1 and len(before.matched.masks) == 1 + queue:  # the oldest one goes
            assert torch.equal(before.matched.masks[2:], state.matched.masks[1:-1])
    tensors = [value for value in states[-1].matched if isinstance(value, torch.Tensor)]
    assert all(value.untyped_storage().nbytes() == value.nbytes for value in tensors)


@pytest.mark.parametrize('matcher', MATCHERS)
def test_targets_at_the_border(matcher):
    """Partly outside at first, then it comes in; and the other way round, until it has left."""
    boxes = [(-16 + 3 * i, 60, 40, 40) for i in range(16)]
    for run in (boxes, boxes[::-1]):
        found, _ = follow(tracker(matcher), scene(run), run[0])
        x, y, width, height = run[-1]
        assert iou(found[-1], (max(0, x), y, min(width, x + width), height)) > 0.25  # 0 where it was at first
    gone = [(20 - 6 * i, 60, 40, 40) for i in range(16)]
    found, _ = follow(tracker(matcher), scene(gone), gone[0])
    assert np.isfinite(found).all()
    for x, y, width, height in found:  # as for DropTrack, 10 pixels stay in the frame
        assert min(x + width, 240 - x, y + height, 160 - y) >= 10 - 1e-3


@pytest.mark.parametrize('matcher', MATCHERS)
@pytest.mark.parametrize(
    'box', [(50, 60, 4, 5), (100.5, 20.2, 0.7, 0.4), (0, 0, 240, 160), (-30, -30, 32, 32), (20, 5, 2, 150)]
)
def test_boxes_of_any_size(matcher, box):
    frames = scene([(60, 50, 30, 30)] * 5)
    found, scores = follow(tracker(matcher), frames, box)
    assert np.isfinite(found).all()
    assert np.isfinite(scores).all()
    assert all(width > 0 and height > 0 for _, _, width, height in found)


def test_a_tiny_target_stays_tiny():
    boxes = [(60 + 2 * i, 60, 6, 6) for i in range(15)]
    found, _ = follow(tracker(), scene(boxes), boxes[0])
    assert iou(found[-1], boxes[-1]) > 0.3
    assert max(found[-1][2:]) < 10


def test_black_frames_keep_the_box():
    boxes = moving(3)
    frames = [*scene(boxes)[:1], *[np.zeros((160, 240, 3), np.uint8)] * 5]
    found, _ = follow(tracker(backbone=VIT), frames, boxes[0])
    assert np.isfinite(found).all()


def test_box_mask_covers_cells_by_share():
    center, size = torch.tensor([0.5, 0.25]), torch.tensor([0.5, 0.25])
    mask = box_mask(center, size, (4, 4))
    expected = torch.zeros(4, 4)
    expected[0, 1:3] = expected[1, 1:3] = 0.5
    assert torch.allclose(mask, expected)
    assert mask.sum() == pytest.approx(0.5 * 0.25 * 16)
    soft = box_mask(torch.tensor([0.5, 0.5]), torch.tensor([1.0, 1.0]), (5, 5), sigma=0.7)
    assert soft[2, 2] == pytest.approx(1)
    assert soft[2, 2] > soft[2, 1] > soft[2, 0]


class TestRecurrent:
    BACKBONE = dict(type='mmvidmae.RecurrentViT', arch=ARCH, img_size=144, patch_size=8, core=dict(depth=1))

    def test_its_state_runs_with_the_target(self):
        boxes = moving(3)
        frames, model = scene(boxes), tracker(backbone=self.BACKBONE)
        first = model.initialize(frames[0], boxes[0])
        second, _ = model.track(frames[1], first)
        crop, _, _ = model._crop(frames[1], first.box, (1.0,))
        assert torch.equal(second.memory, model.unit_features(crop, first.memory)[1])
        assert not torch.equal(second.memory, model.unit_features(crop)[1])

    def test_it_reads_one_crop(self):
        with pytest.raises(ValueError, match='a recurrent backbone reads one crop of each frame'):
            tracker('correlation', self.BACKBONE)


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        (dict(search_size=0), 'FrozenTracker: search_size must be one positive number of pixels, got 0'),
        (dict(search_factor=1), 'FrozenTracker: search_factor must be above 1'),
        (dict(size_rate=2), 'FrozenTracker: size_rate must be from 0 to 1'),
        (dict(test_cfg=dict(test_mode='ABC')), "test_cfg.test_mode must be 'OPE' or 'VOT'"),
    ],
)
def test_wrong_options(changes, message):
    with pytest.raises(ValueError, match=message):
        tracker(**changes)


def test_wrong_boxes_and_modes():
    frame = scene(moving(1))[0]
    with pytest.raises(ValueError, match='lies outside the frame of 240 x 160 pixels'):
        tracker().initialize(frame, (500, 10, 20, 20))
    with pytest.raises(RuntimeError, match="its modes are 'predict' and 'tensor'"):
        tracker()(dict(img=torch.zeros(1, 3, 144, 144)), mode='loss')
    with pytest.raises(ValueError, match='is no feature map'):
        tracker(backbone=nn.Flatten()).initialize(frame, (5, 5, 20, 20))


def test_inferencer(tmp_path):
    boxes = moving(8)
    inferencer = TrackingInferencer(tracker(), show_progress=False)
    results = inferencer([frame[..., ::-1] for frame in scene(boxes)], boxes[0], out_dir=tmp_path)
    assert min(map(iou, boxes, results['predictions']['boxes_xywh'])) > 0.4
    assert results['predictions']['scores'][0] == 1
    assert len(list(tmp_path.rglob('*.mp4'))) == 1


@pytest.mark.parametrize('path', CONFIGS, ids=lambda path: path.stem)
def test_config_builds(path):
    pytest.importorskip('mmdet')
    import mmvidmae.compat.mmtrack.enabled  # noqa: F401

    # isort: split
    from mmtrack.registry import DATASETS, METRICS

    if path.stem.startswith('timm'):
        pytest.importorskip('timm')
    config = Config.fromfile(path)
    encoder, matcher, data = path.stem.split('_')
    with DefaultScope.overwrite_default_scope('mmtrack'):
        with torch.device('meta'):
            backbone = MODELS.build(config.model.backbone)
        model = MODELS.build(dict(config.model, backbone=backbone))
        assert type(model.matcher).__name__.lower() == f'{matcher}matcher'
        assert model.search_size == 18 * int(encoder.rpartition('-p')[2])
        assert DATASETS.get(config.test_dataloader.dataset.type)
        assert (type(METRICS.build(config.test_evaluator)).__name__ == 'VOTMetric') == (data == 'vot2018')
        assert (model.test_cfg['test_mode'] == 'VOT') == (data == 'vot2018')
