import json

import numpy as np
import pytest
import torch
from PIL import Image

from mmvidmae.apis import Interrupted, ReconstructionInferencer
from mmvidmae.datasets import VideoFileReader, VideoReadError
from mmvidmae.visualization import draw_reconstructions


@pytest.fixture
def reconstruct(model):
    """A function that returns the data samples of a call."""
    inferencer = ReconstructionInferencer(model, show_progress=False)
    return lambda video, **options: inferencer(video, return_datasamples=True, **options)['predictions']


@pytest.fixture
def inferencer(model):
    return ReconstructionInferencer(model, show_progress=False)


def test_frames_are_those_asked_for(reconstruct, video_dir):
    video = video_dir / 'e.mp4'
    samples = reconstruct(video, batch_size=2, pairs=[(0, 30), (7, 9), (30, 30)])
    assert [sample.frame_ids for sample in samples] == [(0, 30), (7, 9), (30, 30)]
    clip = VideoFileReader(str(video)).get_batch([7, 9])
    for frame, expected in zip(samples[1].frames, clip):  # 64 x 48: the middle 48 columns, at two thirds of the size
        expected = np.asarray(Image.fromarray(expected[:, 8:56]).resize((32, 32), Image.Resampling.BICUBIC))
        assert np.abs(frame.permute(1, 2, 0).numpy() - expected.astype(float)).mean() < 3
    assert torch.equal(samples[2].frames[0], samples[2].frames[1])


def test_same_seed_same_result_for_any_batch_size(reconstruct, video_dir):
    def run(**options):
        samples = reconstruct(video_dir / 'e.mp4', pairs=5, gap=(3, 6), **options)
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
    ReconstructionInferencer(model)
    assert not model.training


def test_frame_folder_and_video_agree(reconstruct, video_dir, tmp_path):
    video = video_dir / 'a.mp4'
    for number, frame in enumerate(VideoFileReader(str(video)).get_batch(range(12))):
        Image.fromarray(frame).save(tmp_path / f'{number}.png')
    for one, other in zip(reconstruct(video), reconstruct(tmp_path)):
        assert torch.equal(one.reconstruction, other.reconstruction)


def test_image_and_errors(inferencer, reconstruct, video_dir, tmp_path):
    results = inferencer(video_dir / 'e.mp4', pairs=3, out_dir=tmp_path / 'new')
    samples = reconstruct(video_dir / 'e.mp4', pairs=3)
    assert results['visualization'] == str(tmp_path / 'new/vis/e.png')
    assert np.array_equal(np.asarray(Image.open(results['visualization'])), draw_reconstructions(samples))
    predictions = results['predictions']
    assert predictions['video'] == 'e.mp4'
    assert predictions['errors'] == [float(sample.error) for sample in samples]
    assert predictions['constant_errors'] == [float(sample.constant_error) for sample in samples]
    assert predictions['frame_ids'] == [sample.frame_ids for sample in samples]
    written = json.loads((tmp_path / 'new/preds/e.json').read_text())
    assert written == json.loads(json.dumps(predictions))
    assert inferencer(video_dir / 'e.mp4', pairs=3) == dict(predictions=predictions, visualization=None)


def test_video(inferencer, reconstruct, video_dir, tmp_path):
    options = dict(pairs=None, gap=(4, 4), save_pred=False, vis_format='.mp4', fps=10)
    errors = inferencer(video_dir / 'a.mp4', out_dir=tmp_path / 'new', **options)['predictions']['errors']
    assert [entry.name for entry in (tmp_path / 'new').rglob('*')] == ['vis', 'a.mp4']
    written = VideoFileReader(str(tmp_path / 'new/vis/a.mp4'))
    assert len(written) == len(errors) == 12 - 4
    samples = reconstruct(video_dir / 'a.mp4', pairs=[(i, i + 4) for i in range(8)])
    frames = written.get_batch(range(8)).astype(float)
    for frame, sample in zip(frames, samples):
        assert np.abs(frame - draw_reconstructions([sample])).mean() < 10


def test_interrupt_keeps_the_pairs_so_far(inferencer, video_dir, tmp_path, monkeypatch):
    step, calls = inferencer.model.test_step, []

    def interrupt(batch):
        calls.append(batch)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return step(batch)

    monkeypatch.setattr(inferencer.model, 'test_step', interrupt)
    with pytest.raises(Interrupted, match='after 4 frames'):
        inferencer(
            video_dir / 'a.mp4', pairs=None, gap=(4, 4), batch_size=2, vis_format='.webm', out_dir=tmp_path / 'made'
        )
    assert len(calls) == 3
    assert len(VideoFileReader(str(tmp_path / 'made/vis/a.webm'))) == 4
    assert len(json.loads((tmp_path / 'made/preds/a.json').read_text())['errors']) == 4


def test_progress_goes_to_stderr(model, video_dir, capsys):
    ReconstructionInferencer(model)(video_dir / 'a.mp4')
    captured = capsys.readouterr()
    assert not captured.out
    assert 'a.mp4' in captured.err
    assert '4/4' in captured.err


def test_mistakes_give_a_clear_message(inferencer, video_dir, tmp_path):
    for options, message in [
        (dict(pairs=[(3, 12)]), 'pairs: .* < 12, the number of frames of .*a.mp4'),
        (dict(pairs=[(5, 3)]), 'past <= future'),
        (dict(pairs=[(-1, 3)]), '0 <= past'),
        (dict(pairs=0), 'pairs: expected at least one'),
        (dict(pairs=[]), 'pairs: expected at least one'),
        (dict(gap=(5, 3)), 'gap must be'),
        (dict(pairs=None, gap=(12, 12)), 'no two frames are 12 apart'),
        (dict(vis_format='.mp3'), r"vis_format must be one of .*, got '\.mp3'"),
    ]:
        with pytest.raises(ValueError, match=message):
            inferencer(video_dir / 'a.mp4', out_dir=tmp_path / 'out', **options)
    with pytest.raises(ValueError, match='unknown argument'):
        inferencer.stream(video_dir / 'a.mp4', pair=3)
    for missing in ('nothing.mp4', ''):
        with pytest.raises(VideoReadError):
            inferencer(tmp_path / missing, out_dir=tmp_path / 'out')
    assert not list(tmp_path.iterdir())


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a GPU')
def test_gpu_gives_the_same(model, video_dir):
    def run():
        return ReconstructionInferencer(model)(video_dir / 'e.mp4', return_datasamples=True)['predictions']

    on_cpu = run()
    try:
        model.cuda()
        on_gpu = run()
    finally:
        model.cpu()
    for one, other in zip(on_cpu, on_gpu):
        assert torch.equal(one.mask, other.mask)
        assert float(one.error) == pytest.approx(float(other.error), rel=1e-3)
