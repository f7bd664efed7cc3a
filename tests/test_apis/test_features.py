import numpy as np
import pytest
import torch
from PIL import Image

from mmvidmae.apis import extract_features, feature_batches, open_clip
from mmvidmae.datasets import VideoReadError

MEAN, STD = torch.tensor([123.675, 116.28, 103.53]), torch.tensor([58.395, 57.12, 57.375])


@pytest.fixture
def frames():
    return torch.from_numpy(np.random.default_rng(0).integers(0, 256, (2, 3, 24, 40), np.uint8))


def test_features_are_those_of_the_backbone(model, frames):
    """Normalized by hand and given to the backbone as to that of any toolbox."""
    normalized = (frames - MEAN[:, None, None]) / STD[:, None, None]
    with torch.no_grad():
        (expected,) = model.backbone(normalized)
    features = extract_features(model, frames)
    assert features.shape == (2, 48, 3, 5)
    torch.testing.assert_close(features, expected)


def test_tokens_layers_and_their_order(model, frames):
    classes = model.backbone.num_extra_tokens
    last, first, again = extract_features(model, frames, layers=(-1, 0, 2), out='tokens')
    assert last.shape == (2, classes + 15, 48)
    assert torch.equal(last, again)
    assert not torch.allclose(first, last)
    (featmap,) = extract_features(model, frames, layers=[0])
    assert torch.equal(featmap.flatten(2).mT, first[:, classes:])
    assert torch.equal(extract_features(model, frames, out='tokens'), last)


def test_every_form_of_frames_gives_the_same(model, frames, tmp_path):
    expected = extract_features(model, frames)
    arrays = [frame.permute(1, 2, 0).numpy() for frame in frames]
    images = [Image.fromarray(array) for array in arrays]
    for number, image in enumerate(images):
        image.save(tmp_path / f'{number}.png')
    paths = [tmp_path / '0.png', str(tmp_path / '1.png')]
    for form in (frames.numpy(), list(frames), arrays, images, paths, [arrays[0], paths[1]]):
        torch.testing.assert_close(extract_features(model, form), expected)


def test_videos_folders_and_pictures_stand_for_their_frames(model, video_dir, tmp_path, capsys):
    video = video_dir / 'a.mp4'
    frames = list(open_clip(video))
    for number, frame in enumerate(frames):
        Image.fromarray(frame).save(tmp_path / f'{number}.png')
    expected = extract_features(model, np.stack(frames).transpose(0, 3, 1, 2), progress=False)
    assert expected.shape == (12, 48, 6, 8)
    assert capsys.readouterr().err == ''
    for form in (video, str(video), tmp_path, [video], [str(tmp_path / '0.png'), *frames[1:]]):
        torch.testing.assert_close(extract_features(model, form, batch_size=5), expected)
    shown = capsys.readouterr().err
    assert '12/12' in shown
    both = extract_features(model, [video, tmp_path / '3.png', frames[4]])
    torch.testing.assert_close(both, expected[[*range(12), 3, 4]])


def test_features_come_in_batches(model, video_dir):
    video = video_dir / 'a.mp4'
    number, batches = feature_batches(model, video, [0, -1], 'tokens', batch_size=5, progress=False)
    first, last = zip(*batches, strict=True)
    assert number == 12
    assert [len(part) for part in first] == [5, 5, 2]
    expected = extract_features(model, video, [0, -1], 'tokens')
    torch.testing.assert_close((torch.cat(first), torch.cat(last)), expected)


def test_frames_are_resized_to_a_short_side(model, video_dir):
    """64 x 48 pixels; 30 pixels are 3.75 patches, and 40 pixels 5."""
    assert extract_features(model, video_dir / 'a.mp4', short_side=30).shape == (12, 48, 4, 5)
    frame = torch.arange(48 * 64, dtype=torch.uint8).reshape(1, 1, 48, 64).expand(1, 3, 48, 64)
    torch.testing.assert_close(extract_features(model, frame, short_side=48), extract_features(model, frame))


def test_grey_and_transparent_images_become_rgb(model, tmp_path):
    gray = Image.new('L', (32, 32), 90)
    expected = extract_features(model, torch.full((1, 3, 32, 32), 90, dtype=torch.uint8))
    torch.testing.assert_close(extract_features(model, [gray]), expected)
    gray.convert('RGBA').save(tmp_path / 'gray.png')
    torch.testing.assert_close(extract_features(model, [tmp_path / 'gray.png']), expected)


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
            extract_features(model, wrong)
    with pytest.raises(ValueError, match='between -3 and 2, got'):
        extract_features(model, frames, layers=[3])
    with pytest.raises(ValueError, match="'map' or 'tokens'"):
        extract_features(model, frames, out='featmap')
    with pytest.raises(ValueError, match='at least 1, got 0'):
        extract_features(model, frames, batch_size=0)
    with pytest.raises(FileNotFoundError, match='nothing'):
        extract_features(model, ['nothing.png'])
    with pytest.raises(VideoReadError, match='nothing'):
        extract_features(model, 'nothing.mp4')
