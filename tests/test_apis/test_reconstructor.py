import numpy as np
import pytest
import torch
from PIL import Image

from mmvidmae.apis import PairReconstructor
from mmvidmae.datasets import VideoFileReader, VideoReadError
from mmvidmae.visualization import draw_reconstructions


@pytest.fixture
def reconstructor(model):
    return PairReconstructor(model, batch_size=2, progress=False)


def test_frames_are_those_asked_for(reconstructor, video_dir):
    video = video_dir / 'e.mp4'
    samples = reconstructor(video, pairs=[(0, 30), (7, 9), (30, 30)])
    assert [sample.frame_ids for sample in samples] == [(0, 30), (7, 9), (30, 30)]
    clip = VideoFileReader(str(video)).get_batch([7, 9])
    for frame, expected in zip(samples[1].frames, clip):  # 64 x 48: the middle 48 columns, at two thirds of the size
        expected = np.asarray(Image.fromarray(expected[:, 8:56]).resize((32, 32), Image.Resampling.BICUBIC))
        assert np.abs(frame.permute(1, 2, 0).numpy() - expected.astype(float)).mean() < 3
    assert torch.equal(samples[2].frames[0], samples[2].frames[1])


def test_same_seed_same_result_for_any_batch_size(model, video_dir):
    def run(**options):
        samples = PairReconstructor(model, progress=False, **options)(video_dir / 'e.mp4', pairs=5, gap=(3, 6))
        assert all(3 <= future - past <= 6 for past, future in (sample.frame_ids for sample in samples))
        return [sample.frame_ids for sample in samples], torch.stack([sample.mask for sample in samples])

    ids, masks = run(batch_size=8)
    assert len(ids) == 5
    assert len({mask.numpy().tobytes() for mask in masks}) == 5
    other_ids, other_masks = run(batch_size=2)
    assert ids == other_ids
    assert torch.equal(masks, other_masks)
    assert run(seed=1)[0] != ids


def test_model_in_training_mode_is_evaluated(model, video_dir):
    model.train()
    PairReconstructor(model)
    assert not model.training


def test_frame_folder_and_video_agree(reconstructor, video_dir, tmp_path):
    video = video_dir / 'a.mp4'
    for number, frame in enumerate(VideoFileReader(str(video)).get_batch(range(12))):
        Image.fromarray(frame).save(tmp_path / f'{number}.png')
    for one, other in zip(reconstructor(video), reconstructor(tmp_path)):
        assert torch.equal(one.reconstruction, other.reconstruction)


def test_picture(reconstructor, video_dir, tmp_path):
    path = tmp_path / 'new' / 'picture.png'
    errors = reconstructor.write_picture(video_dir / 'e.mp4', path, pairs=3)
    samples = reconstructor(video_dir / 'e.mp4', pairs=3)
    assert np.array_equal(np.asarray(Image.open(path)), draw_reconstructions(samples))
    assert errors == pytest.approx([float(sample.error) for sample in samples])


def test_video(reconstructor, video_dir, tmp_path):
    path = tmp_path / 'new' / 'video.mp4'
    errors = reconstructor.write_video(video_dir / 'a.mp4', path, gap=4)
    assert [entry.name for entry in path.parent.iterdir()] == ['video.mp4']
    written = VideoFileReader(str(path))
    assert len(written) == len(errors) == 12 - 4
    samples = reconstructor(video_dir / 'a.mp4', pairs=[(i, i + 4) for i in range(8)])
    frames = written.get_batch(range(8)).astype(float)
    for frame, sample in zip(frames, samples):
        assert np.abs(frame - draw_reconstructions([sample])).mean() < 10


def test_interrupted_video_leaves_nothing(reconstructor, video_dir, tmp_path, monkeypatch):
    step, calls = reconstructor.model.test_step, []

    def interrupt(batch):
        calls.append(batch)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return step(batch)

    monkeypatch.setattr(reconstructor.model, 'test_step', interrupt)
    with pytest.raises(KeyboardInterrupt):
        reconstructor.write_video(video_dir / 'a.mp4', tmp_path / 'video.mp4', gap=4)
    assert len(calls) == 3
    assert not list(tmp_path.iterdir())


def test_progress_goes_to_stderr(model, video_dir, capsys):
    PairReconstructor(model)(video_dir / 'a.mp4')
    captured = capsys.readouterr()
    assert not captured.out
    assert 'a.mp4' in captured.err


def test_mistakes_give_a_clear_message(reconstructor, video_dir, tmp_path):
    video = video_dir / 'a.mp4'
    for call, message in [
        (lambda: reconstructor(video, pairs=[(3, 12)]), 'pairs: .* < 12, the number of frames of .*a.mp4'),
        (lambda: reconstructor(video, pairs=[(5, 3)]), 'past <= future'),
        (lambda: reconstructor(video, pairs=[(-1, 3)]), '0 <= past'),
        (lambda: reconstructor(video, pairs=0), 'pairs: expected at least one'),
        (lambda: reconstructor(video, pairs=[]), 'pairs: expected at least one'),
        (lambda: reconstructor(video, gap=(5, 3)), 'gap must be'),
        (lambda: reconstructor.write_video(video, tmp_path / 'a.mp4', gap=12), 'no two frames are 12 apart'),
        (lambda: reconstructor.write_video(video, tmp_path / 'a.png'), 'not the name of a video, as a.mp4'),
        (lambda: reconstructor.write_picture(video, tmp_path / 'a.mp3'), 'unknown file extension'),
    ]:
        with pytest.raises(ValueError, match=message):
            call()
    for missing in ('nothing.mp4', ''):
        with pytest.raises(VideoReadError):
            reconstructor(tmp_path / missing)
    assert not list(tmp_path.iterdir())


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a GPU')
def test_gpu_gives_the_same(model, video_dir):
    on_cpu = PairReconstructor(model)(video_dir / 'e.mp4')
    try:
        on_gpu = PairReconstructor(model.cuda())(video_dir / 'e.mp4')
    finally:
        model.cpu()
    for one, other in zip(on_cpu, on_gpu):
        assert torch.equal(one.mask, other.mask)
        assert float(one.error) == pytest.approx(float(other.error), rel=1e-3)
