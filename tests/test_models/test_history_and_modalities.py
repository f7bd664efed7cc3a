"""HIPTrack and BAT: memory of a target, training steps from a DropTrack checkpoint, pairs of pictures."""

import random
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.structures import BaseDataElement, InstanceData

from mmvidmae.apis import TrackingInferencer
from mmvidmae.converters import ConversionError, convert_state_dict, mmvidmae_to_bat, mmvidmae_to_hiptrack
from mmvidmae.converters.checkpoint_io import read_state_dict
from mmvidmae.datasets import LoadPicturePair
from mmvidmae.datasets.readers import VideoReadError
from mmvidmae.datasets.tracking import ClipSampling
from mmvidmae.models.trackers import BAT, DropTrack, HIPTrack, MemoryBank

ARCH = dict(embed_dims=32, num_layers=3, num_heads=2, feedforward_channels=64)
ENCODER = dict(arch=ARCH, patch_size=16, ce_loc=(1,), ce_keep_ratio=(0.7,))
SIZES = dict(template_size=32, search_size=64, search_factor=4.0)


def droptrack() -> DropTrack:
    torch.manual_seed(0)
    return DropTrack(
        dict(type='mmvidmae.OneStreamViT', **ENCODER), dict(type='mmvidmae.CenterHead', channels=16), **SIZES
    )


def pretrained(path: Path, prefix: str) -> dict:
    return dict(init_cfg=dict(type='Pretrained', checkpoint=str(path), prefix=prefix))


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    torch.save(dict(state_dict=droptrack().state_dict()), tmp_path / 'droptrack.pth')
    return tmp_path / 'droptrack.pth'


def hiptrack(path: Path | None = None, patch_size: int = 16, **test_cfg) -> HIPTrack:
    torch.manual_seed(1)
    encoder = ENCODER | dict(patch_size=patch_size)
    sizes = SIZES | dict(template_size=2 * patch_size, search_size=4 * patch_size)
    model = HIPTrack(
        backbone=dict(type='mmvidmae.OneStreamViT', **encoder, **(pretrained(path, 'backbone.') if path else {})),
        head=dict(type='mmvidmae.CenterHead', channels=16, **(pretrained(path, 'head.') if path else {})),
        prompt=dict(type='mmvidmae.HistoricalPrompt', key_dims=8, base_channels=8),
        test_cfg=test_cfg,
        **sizes,
    )
    model.init_weights()
    return model


def bat(path: Path | None = None, **options) -> BAT:
    torch.manual_seed(1)
    model = BAT(
        dict(type='mmvidmae.TwoStreamViT', **ENCODER, **(pretrained(path, 'backbone.') if path else {})),
        head=dict(type='mmvidmae.CenterHead', channels=16, **(pretrained(path, 'head.') if path else {})),
        **SIZES,
        **options,
    )
    model.init_weights()
    return model


def batch(num_search: int, channels: int = 3, side: int = 64) -> tuple[dict, list]:
    torch.manual_seed(2)
    template, search = (2, channels, side // 2, side // 2), (2 * num_search, channels, side, side)
    inputs = dict(img=torch.randn(template), search_img=torch.randn(search))
    box = torch.tensor([[20.0, 16.0, 44.0, 40.0]]) * side / 64
    sample = BaseDataElement(
        gt_instances=InstanceData(bboxes=box / 2),
        search_gt_instances=InstanceData(bboxes=box.repeat(num_search, 1)),
    )
    return inputs, [sample, sample]


def step(model: torch.nn.Module, inputs: dict, samples: list) -> set[str]:
    """Names of the parameters that a training step changes."""
    before = {name: value.detach().clone() for name, value in model.named_parameters()}
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], 1e-2)
    losses = model.train().loss(inputs, samples)
    sum(value for name, value in losses.items() if name.startswith('loss_')).backward()
    optimizer.step()
    return {name for name, value in model.named_parameters() if not torch.equal(value, before[name])}


def frames(count: int, channels: int = 3) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.integers(0, 255, (90, 120, channels), dtype=np.uint8) for _ in range(count)]


def test_hiptrack_from_droptrack_trains_prompt_and_head(checkpoint):
    model, source = hiptrack(checkpoint), torch.load(checkpoint, weights_only=True)['state_dict']
    for name in ('backbone.pos_embed_x', 'backbone.frame_embed', 'head.size.4.weight'):
        assert torch.equal(model.state_dict()[name], source[name])
    changed = step(model, *batch(5))
    still = {name for name, _ in model.named_parameters()} - changed
    assert still <= {name for name in still if name.startswith('backbone.')} | {'prompt.key.bias'}  # cancels in softmax
    assert not any(name.startswith('backbone.') for name in changed)


def test_hiptrack_with_cells_of_another_size():
    """With patches of 14 and 8 pixels, the ResNet of stride 16 has as many cells as the features."""
    for patch in (14, 8):
        model = hiptrack(patch_size=patch)
        inputs, samples = batch(3, side=4 * patch)
        assert any(name.startswith('prompt.memory_encoder.resnet.') for name in step(model, inputs, samples))
        model, video = model.eval(), frames(8)
        target = model.initialize(video[0], (20, 15, 20, 20))
        for frame in video[1:]:
            target, score = model.track(frame, target)
            assert 0 <= score <= 1
        assert target.bank.frames == (5,)
        assert target.bank.num_cells == 16


def test_later_frames_read_earlier_ones_only():
    """A change of frame 3 changes what frames 4 and 5 predict, not what 1 and 2 do."""
    model = hiptrack().eval()
    inputs, _ = batch(5)
    searches = inputs['search_img'].unflatten(0, (2, 5))
    boxes = torch.tensor([[0.25, 0.25, 0.5, 0.5]]).expand(2, 4)
    with torch.no_grad():
        first = model.predict_sequence(inputs['img'], searches, boxes)
        other = searches.clone()
        other[:, 2] = other[:, 2].flip(-1)
        second = model.predict_sequence(inputs['img'], other, boxes)
    same = [torch.allclose(a.score, b.score, atol=1e-6) for a, b in zip(first, second)]
    assert same == [True, True, False, False, False]


def test_the_memory_belongs_to_the_target():
    """Two targets followed in turn give what each gives alone; the model keeps nothing."""
    model, video = hiptrack(memory_interval=3, max_memory_frames=2).eval(), frames(16)
    boxes = [(20, 15, 20, 20), (60, 40, 24, 18)]

    def alone(box):
        target = model.initialize(video[0], box)
        return [(target := model.track(frame, target)[0]) for frame in video[1:]]

    apart = [alone(box) for box in boxes]
    targets = [model.initialize(video[0], box) for box in boxes]
    for number, frame in enumerate(video[1:]):
        targets = [model.track(frame, target)[0] for target in targets]
        assert [target.box for target in targets] == [states[number].box for states in apart]
    assert targets[0].bank.frames == (12, 15)
    assert apart[0][10].bank.frames == (5, 10)
    assert apart[0][0].bank.keys.data_ptr() == apart[0][-1].bank.keys.data_ptr()  # allocated once


def test_a_frame_without_the_target_is_stored_too():
    """As published, there is no threshold. The target leaves the view before the frames that are stored."""
    model, video = hiptrack(memory_interval=3).eval(), [*frames(4), *[np.zeros((90, 120, 3), np.uint8)] * 10]
    target = model.initialize(video[0], (100, 15, 19, 20))
    for frame in video[1:]:
        target, score = model.track(frame, target)
        x, y, width, height = target.box
        assert 0 <= score <= 1
        assert x + width >= 10
        assert x <= 110
        assert y + height >= 10
        assert y <= 80
    assert target.bank.frames == (5, 10, 12)
    assert all(part.isfinite().all() for part in target.bank.read())


def test_an_empty_mask_gives_a_finite_memory():
    """A box across the upper border has an empty mask, see ``target_mask``."""
    model = hiptrack().eval()
    search = torch.randn(1, 3, 64, 64)
    features = model.backbone(torch.randn(1, 3, 32, 32), search, model.ce_template_cells)
    box = torch.tensor([[0.5, 0.0, 0.2, 0.4]])
    assert not model.frame_mask(search, box, features).any()
    memory = model.encode_frame(search, box, features, model.prompt.key(features.search))
    assert all(part.isfinite().all() for part in memory)


def test_the_oldest_frame_is_overwritten():
    bank = MemoryBank.empty(torch.zeros(1), 1, 1, 2, 3)
    for number in range(1, 6):
        part = torch.full((1, 1, 2), float(number))
        bank = bank.store(number, (part, part[:, 0], part))
        assert sorted(set(bank.read()[2].flatten().tolist())) == list(map(float, bank.frames))
    assert bank.frames == (3, 4, 5)


def test_a_bank_that_does_not_fit_says_how_large_it_is():
    with pytest.raises(MemoryError, match=r'memory of 150 frames needs \d+ MiB on cpu: lower test_cfg.max_memory_fr'):
        MemoryBank.empty(torch.zeros(1), 64, 384, 2**40, 150)
    with pytest.raises(ValueError, match=r'test_cfg\.memory_interval must be a positive whole number, got 0'):
        hiptrack(memory_interval=0)


def test_bat_from_droptrack_trains_adapters_alone(checkpoint):
    model, source = bat(checkpoint), torch.load(checkpoint, weights_only=True)['state_dict']
    assert torch.equal(model.backbone.pos_embed_x, source['backbone.pos_embed_x'])
    changed = step(model, *batch(1, 6))
    assert changed == {name for name, _ in model.named_parameters() if name.startswith('backbone.adapters.')}
    norms = {name: value for name, value in model.head.state_dict().items() if 'running' in name}
    assert all(torch.equal(value, source[f'head.{name}']) for name, value in norms.items())
    assert any(name.startswith('head.') for name in step(bat(checkpoint, adapters_only=False), *batch(1, 6)))


def test_without_adapters_the_streams_are_two_passes():
    model = bat().eval()
    for name, value in model.backbone.adapters.named_parameters():
        if 'up' in name:
            torch.nn.init.zeros_(value)
    one = droptrack().eval()
    state = {name: value for name, value in model.state_dict().items() if 'adapters' not in name}
    one.load_state_dict(state)
    inputs, _ = batch(1, 6)
    with torch.no_grad():
        both = model.backbone(inputs['img'], inputs['search_img'], model.ce_template_cells).search
        apart = [
            one.backbone(*(inputs[name][:, part : part + 3] for name in ('img', 'search_img')), one.ce_template_cells)
            for part in (0, 3)
        ]
    torch.testing.assert_close(both, apart[0].search + apart[1].search, atol=1e-5, rtol=1e-4)


def test_bat_follows_frames_of_six_channels():
    model, video = bat().eval(), frames(4, 6)
    target = model.initialize(video[0], (20, 15, 20, 20))
    assert target.template.shape == (1, 6, 32, 32)
    expected = model.data_preprocessor.normalize(torch.from_numpy(video[0][None, ..., 3:].transpose(0, 3, 1, 2).copy()))
    both = model.data_preprocessor.normalize(torch.from_numpy(video[0][None].transpose(0, 3, 1, 2).copy()))
    assert torch.equal(both[:, 3:], expected)  # BGR to RGB in each modality
    for frame in video[1:]:
        target, score = model.track(frame, target)
        assert np.isfinite([*target.box, score]).all()


@pytest.mark.parametrize(('build', 'channels'), [(droptrack, 3), (bat, 6), (hiptrack, 3)])
def test_targets_are_tracked_together_as_one_by_one(build, channels):
    model, video = build().eval(), frames(4, channels)
    targets = [model.initialize(video[0], box) for box in ((40, 30, 20, 24), (5, 50, 30, 20), (90, 10, 12, 12))]
    alone = list(targets)
    for frame in video[1:]:
        together = model.track_all(frame, targets)
        targets = [target for target, _ in together]
        alone, scores = zip(*(model.track(frame, target) for target in alone), strict=True)
        assert np.allclose([target.box for target in targets], [target.box for target in alone], atol=1e-2)
        assert np.allclose([score for _, score in together], scores, atol=1e-5)
    assert model.track_all(video[0], []) == []


def test_inferencer_follows_several_targets(tmp_path):
    model, video = droptrack().eval(), frames(4)
    boxes = [(40, 30, 20, 24), (5, 50, 30, 20)]
    inferencer = TrackingInferencer(model, show_progress=False)
    both = inferencer([*video[:2], None, video[3]], boxes, out_dir=tmp_path)
    alone = [inferencer([*video[:2], None, video[3]], box)['predictions'] for box in boxes]
    for number, one in enumerate(alone):
        assert np.allclose([frame[number] for frame in both['predictions']['boxes_xywh']], one['boxes_xywh'], atol=1e-2)
        assert np.allclose([frame[number] for frame in both['predictions']['scores']], one['scores'], atol=1e-5)
        lines = np.loadtxt(tmp_path / f'preds/frames_{number + 1}.txt', delimiter=',')
        assert np.allclose(lines, one['boxes_xywh'], atol=1e-2)
    assert Path(both['visualization']).exists()
    assert both['predictions']['scores'][2] == [0, 0]


def test_inferencer_joins_two_videos(tmp_path, monkeypatch):
    """Each modality keeps its channels, in the order that the model expects; a lost frame is lost in both."""
    model, both = bat().eval(), frames(4, 6)
    visible, thermal = ([frame[..., part] for frame in both] for part in (np.s_[:3], np.s_[3:]))
    in_bgr = [np.concatenate((a[..., ::-1], b[..., ::-1]), 2) for a, b in zip(visible, thermal, strict=True)]
    target = model.initialize(in_bgr[0], (40, 30, 20, 24))
    expected = [target.box]
    for frame in in_bgr[1:]:
        target, _ = model.track(frame, target)
        expected.append(target.box)
    inferencer = TrackingInferencer(model, show_progress=False)
    tracked = inferencer(visible, (40, 30, 20, 24), thermal, out_dir=tmp_path)
    assert np.allclose(tracked['predictions']['boxes_xywh'], expected)
    assert Path(tracked['visualization']).exists()
    seen, initialize = [], model.initialize
    monkeypatch.setattr(model, 'initialize', lambda frame, box: seen.append(frame) or initialize(frame, box))
    lost = inferencer(visible, (40, 30, 20, 24), [thermal[0], None, *thermal[2:]])['predictions']
    assert lost['scores'][1] == 0
    assert lost['boxes_xywh'][1] == expected[0]
    assert np.array_equal(seen[0], in_bgr[0])


@pytest.mark.parametrize(
    ('thermal', 'message'),
    [
        (None, 'BAT tracks in two modalities: set thermal'),
        (frames(2), 'frames has 3 frames, but frames has 2'),
        (iter(frames(2)), 'the thermal video ends before frame 2'),
        (iter([frame[:-2] for frame in frames(3)]), 'frame 0: .* different sizes: 120 x 90 and 120 x 88 pixels'),
    ],
)
def test_videos_that_do_not_fit(thermal, message):
    inferencer = TrackingInferencer(bat().eval(), show_progress=False)
    with pytest.raises(ValueError, match=message):
        inferencer(frames(3), (40, 30, 20, 24), thermal)


def test_a_thermal_video_is_refused_by_a_tracker_of_one_modality():
    with pytest.raises(ValueError, match='DropTrack tracks in one modality: leave thermal out'):
        TrackingInferencer(droptrack().eval(), show_progress=False)(frames(2), (40, 30, 20, 24), frames(2))


def test_one_modality_is_refused():
    model = bat().eval()
    with pytest.raises(ValueError, match='the template has 3 channels, but two modalities have 6'):
        model.track(frames(1)[0], model.initialize(frames(1)[0], (20, 15, 20, 20)))


@pytest.mark.parametrize(('build', 'there'), [(hiptrack, mmvidmae_to_hiptrack), (bat, mmvidmae_to_bat)])
def test_published_files_load_strictly(build, there, tmp_path):
    """A file as the authors write it, with what their code keeps and never uses, through the program's functions."""
    options = {} if build is hiptrack else dict(adapters_only=False)
    model = build(**options)
    state = there(model.state_dict())
    state |= {'backbone.cls_token': torch.zeros(1, 1, 32), 'backbone.pos_embed': torch.zeros(1, 5, 32)}
    torch.save(dict(net=state, epoch=100), tmp_path / 'model.pth.tar')
    converted = convert_state_dict(read_state_dict(tmp_path / 'model.pth.tar'))
    assert converted.source == dict(hiptrack='hiptrack', bat='bat')[build.__name__]
    torch.manual_seed(9)
    other = build(**options)
    other.load_state_dict(converted.state_dict, strict=True)
    assert all(torch.equal(a, b) for a, b in zip(model.state_dict().values(), other.state_dict().values()))
    encoder = convert_state_dict(state, encoder_only=True).state_dict
    assert 'backbone.pos_embed' in encoder
    assert not any('adapters' in name or 'prompt' in name for name in encoder)
    state.pop(next(name for name in state if 'adap2_t' in name or 'key_proj' in name))
    with pytest.raises(ConversionError, match=r'missing: (1|prompt\.key\.weight)'):
        convert_state_dict(state)


def test_pairs_of_pictures(tmp_path):
    for folder, prefix in (('visible', 'v'), ('infrared', 'i')):
        (tmp_path / folder).mkdir()
        for number in range(3):
            cv2.imwrite(
                str(tmp_path / folder / f'{prefix}{number + 9}.png'), np.full((8, 12, 3), 10 * number + len(folder))
            )
    load = LoadPicturePair()
    found = load(dict(img_path=str(tmp_path / 'visible/v11.png'), frame_id=2))
    assert found['img'].shape == (8, 12, 6)
    assert found['img'][0, 0].tolist() == [27] * 3 + [28] * 3
    paths = [str(tmp_path / f'visible/v{number + 9}.png') for number in (0, 2)]
    found = load(dict(img_path=paths, frame_id=[0, 2]))
    assert found['img_path'] == paths
    assert [image[0, 0, 3] for image in found['img']] == [8, 28]
    with pytest.raises(VideoReadError, match='3 pictures, and none of number 3'):
        load(dict(img_path=paths[0], frame_id=3))
    cv2.imwrite(str(tmp_path / 'infrared/i10.png'), np.zeros((8, 10, 3)))
    with pytest.raises(VideoReadError, match='different sizes: 12 x 8 and 10 x 8 pixels'):
        load(dict(img_path=str(tmp_path / 'visible/v10.png'), frame_id=1))
    assert LoadPicturePair(skip_unreadable=True)(dict(img_path=[paths[0]] * 2, frame_id=[1, 1])) is None


def test_clips_are_in_order_or_reversed():
    random.seed(0)
    visible = np.arange(0, 300, 2)
    clips = np.array([ClipSampling(num_search=5).sample(visible, 300) for _ in range(200)])
    steps = np.diff(clips, axis=1)
    assert {tuple(np.unique(np.sign(row))) for row in steps} == {(1,), (-1,)}
    assert np.abs(steps).max() < 70
    assert not (clips % 2).any()
    info = dict(img_paths=['a'], frame_ids=[0], video_id=0, bboxes=np.ones((1, 4)), visible=[1], bboxes_isvalid=[1])
    assert ClipSampling()([info])['img_path'] == ['a'] * 6
    short = dict(info, img_paths=['a'] * 12, visible=[1] * 12, bboxes_isvalid=[1] * 12)
    assert ClipSampling()([short]) is None
