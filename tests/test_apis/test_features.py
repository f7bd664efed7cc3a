import numpy as np
import pytest
import torch
from PIL import Image

from mmvidmae.apis import FeatureInferencer, Interrupted, open_clip
from mmvidmae.datasets import VideoFileReader, VideoReadError

MEAN, STD = torch.tensor([123.675, 116.28, 103.53]), torch.tensor([58.395, 57.12, 57.375])


def extract(model, frames, show_progress=False, **options):
    return FeatureInferencer(model, show_progress=show_progress)(frames, **options)['predictions']


@pytest.fixture
def frames():
    return torch.from_numpy(np.random.default_rng(0).integers(0, 256, (2, 3, 24, 40), np.uint8))


def test_features_are_those_of_the_backbone(model, frames):
    """Normalized by hand and given to the backbone as to that of any toolbox."""
    normalized = (frames - MEAN[:, None, None]) / STD[:, None, None]
    with torch.no_grad():
        (expected,) = model.backbone(normalized)
    features = extract(model, frames)
    assert features.shape == (2, 48, 3, 5)
    torch.testing.assert_close(features, expected)


def test_tokens_layers_and_their_order(model, frames):
    classes = model.backbone.num_extra_tokens
    last, first, again = extract(model, frames, layers=(-1, 0, 2), out_type='raw')
    assert last.shape == (2, classes + 15, 48)
    assert torch.equal(last, again)
    assert not torch.allclose(first, last)
    (featmap,) = extract(model, frames, layers=[0])
    assert torch.equal(featmap.flatten(2).mT, first[:, classes:])
    assert torch.equal(extract(model, frames, out_type='raw'), last)


def test_every_form_of_frames_gives_the_same(model, frames, tmp_path):
    expected = extract(model, frames)
    arrays = [frame.permute(1, 2, 0).numpy() for frame in frames]
    images = [Image.fromarray(array) for array in arrays]
    for number, image in enumerate(images):
        image.save(tmp_path / f'{number}.png')
    paths = [tmp_path / '0.png', str(tmp_path / '1.png')]
    for form in (frames.numpy(), list(frames), arrays, images, paths, [arrays[0], paths[1]]):
        torch.testing.assert_close(extract(model, form), expected)


def test_videos_folders_and_images_stand_for_their_frames(model, video_dir, tmp_path, capsys):
    video = video_dir / 'a.mp4'
    frames = list(open_clip(video))
    for number, frame in enumerate(frames):
        Image.fromarray(frame).save(tmp_path / f'{number}.png')
    expected = extract(model, np.stack(frames).transpose(0, 3, 1, 2))
    assert expected.shape == (12, 48, 6, 8)
    assert capsys.readouterr().err == ''
    for form in (video, str(video), tmp_path, [video], [str(tmp_path / '0.png'), *frames[1:]]):
        torch.testing.assert_close(extract(model, form, show_progress=True, batch_size=5), expected)
    shown = capsys.readouterr().err
    assert '12/12' in shown
    both = extract(model, [video, tmp_path / '3.png', frames[4]])
    torch.testing.assert_close(both, expected[[*range(12), 3, 4]])


def test_features_of_a_video_as_they_come(model, video_dir):
    """A generator is not read ahead by more than a batch."""
    video = video_dir / 'a.mp4'
    read = []
    inferencer = FeatureInferencer(model, show_progress=False)
    source = inferencer.preprocess(video, batch_size=5)
    batches = (read.append(len(batch)) or batch for batch in source.items)
    samples = []
    for number, sample in enumerate(inferencer.forward(batches, [0, -1], 'raw')):
        assert len(read) == number // 5 + 1
        samples.append(sample)
    assert read == [5, 5, 2]
    assert [sample.frame_id for sample in samples] == list(range(12))
    assert np.array_equal(samples[3].frame, open_clip(video).get_batch([3])[0])
    expected = extract(model, video, layers=[0, -1], out_type='raw')
    parts = zip(*(sample.features for sample in samples))
    torch.testing.assert_close(tuple(map(torch.stack, parts)), expected)
    streamed = inferencer.stream(video, batch_size=5, layers=[0, -1], out_type='raw')
    assert torch.equal(next(streamed).features[1], samples[0].features[1])


def test_files_hold_the_features_and_show_them(model, video_dir, tmp_path):
    inferencer = FeatureInferencer(model, show_progress=False)
    results = inferencer(video_dir / 'a.mp4', layers=[0, -1], dtype=torch.float16, out_dir=tmp_path / 'out')
    names = ['preds/a_layer0.npy', 'preds/a_layer2.npy', 'vis/a.mp4']
    assert sorted(str(path.relative_to(tmp_path / 'out')) for path in tmp_path.rglob('*.*')) == names
    expected = extract(model, video_dir / 'a.mp4', layers=[0, -1])
    for name, array, features in zip(names, results['predictions'], expected):
        assert isinstance(array, np.memmap)
        assert np.array_equal(array, features.half().numpy())
        assert np.array_equal(np.load(tmp_path / 'out' / name), array)
    assert results['visualization'] == str(tmp_path / 'out/vis/a.mp4')
    drawn = VideoFileReader(results['visualization'])
    assert len(drawn) == 12
    frame = drawn.get_batch([5])[0]
    assert frame.shape == (48, 128, 3)
    assert np.abs(frame[:, :64] - open_clip(video_dir / 'a.mp4').get_batch([5])[0].astype(float)).mean() < 15
    assert frame[:, 64:].std() > 10
    samples = inferencer(video_dir / 'a.mp4', return_datasamples=True)['predictions']
    torch.testing.assert_close(torch.stack([sample.feature_map for sample in samples]), expected[1])


def test_an_interrupt_leaves_no_file_of_features(model, video_dir, tmp_path, monkeypatch):
    calls = []

    def interrupt(*args, **options):
        calls.append(args)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return embed(*args, **options)

    embed = model.backbone.embed
    monkeypatch.setattr(model.backbone, 'embed', interrupt)
    with pytest.raises(Interrupted) as caught:
        extract(model, video_dir / 'a.mp4', batch_size=4, out_dir=tmp_path)
    assert caught.value.frames == 8
    assert not [path for path in tmp_path.rglob('*') if path.is_file()]


def test_frames_are_resized_to_a_short_side(model, video_dir):
    """64 x 48 pixels; 30 pixels are 3.75 patches, and 40 pixels 5."""
    assert extract(model, video_dir / 'a.mp4', short_side=30).shape == (12, 48, 4, 5)
    frame = torch.arange(48 * 64, dtype=torch.uint8).reshape(1, 1, 48, 64).expand(1, 3, 48, 64)
    torch.testing.assert_close(extract(model, frame, short_side=48), extract(model, frame))


def test_grey_and_transparent_images_become_rgb(model, tmp_path):
    gray = Image.new('L', (32, 32), 90)
    expected = extract(model, torch.full((1, 3, 32, 32), 90, dtype=torch.uint8))
    torch.testing.assert_close(extract(model, [gray]), expected)
    gray.convert('RGBA').save(tmp_path / 'gray.png')
    torch.testing.assert_close(extract(model, [tmp_path / 'gray.png']), expected)


def test_mistakes_give_a_clear_message(model, frames):
    for wrong, message in [
        (frames.float(), 'must be uint8 RGB .* got torch.float32'),
        (frames[0], r'shape \(N, 3, H, W\)'),
        (frames.permute(0, 2, 3, 1), r'shape \(N, 3, H, W\)'),
        (frames[..., :30], '24 x 30 pixels do not divide into patches of 8: short_side resizes frames'),
        ([frames[0, :2]], 'frame 0: must be uint8 RGB'),
        ([frames[0], frames[1, :, :16]], 'of one size'),
        ([], 'at least one'),
    ]:
        with pytest.raises(ValueError, match=message):
            extract(model, wrong)
    with pytest.raises(ValueError, match='between -3 and 2, got'):
        extract(model, frames, layers=[3])
    with pytest.raises(ValueError, match="'featmap' or 'raw'"):
        extract(model, frames, out_type='map')
    with pytest.raises(ValueError, match=r"vis_format must be one of \.3gp .*, got '\.gif'"):
        extract(model, frames, vis_format='.gif')
    with pytest.raises(ValueError, match='at least 1, got 0'):
        extract(model, frames, batch_size=0)
    with pytest.raises(FileNotFoundError, match='nothing'):
        extract(model, ['nothing.png'])
    with pytest.raises(VideoReadError, match='nothing'):
        extract(model, 'nothing.mp4')
