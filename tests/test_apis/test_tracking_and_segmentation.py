"""Inferencers for tracking and video segmentation: wrong input, interrupts, files, drawn videos."""

import gc
import json
import os
import signal
import threading
import weakref
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from PIL import Image

from mmvidmae.apis import Interrupted, TrackingInferencer, VideoSegmentationInferencer, model_zoo
from mmvidmae.apis.programs import parse_video
from mmvidmae.apis.videos import open_video
from mmvidmae.datasets import VideoFileReader, VideoReadError
from mmvidmae.datasets.sources import VIDEO_SUFFIXES
from mmvidmae.models.segmentors import DropSeg
from mmvidmae.structures.label_maps import read_label_map
from mmvidmae.visualization import write_video

ARCH = dict(embed_dims=24, num_layers=2, num_heads=2, feedforward_channels=48)
BOX = (8, 8, 16, 16)


@pytest.fixture(scope='module')
def tracking_config():
    model = dict(
        type='mmvidmae.DropTrack',
        template_size=32,
        search_size=64,
        backbone=dict(type='mmvidmae.OneStreamViT', arch=ARCH, patch_size=8, ce_loc=(), ce_keep_ratio=()),
        head=dict(type='mmvidmae.CenterHead', channels=8),
    )
    return Config(dict(default_scope='mmtrack', model=model))


@pytest.fixture(scope='module')
def tracker(tracking_config):
    torch.manual_seed(0)
    with pytest.warns(UserWarning, match='the model has random weights: set weights'):
        return TrackingInferencer(tracking_config, device='cpu', show_progress=False)


@pytest.fixture(scope='module')
def segmenter():
    torch.manual_seed(0)
    small = dict(channels=(8, 8))
    net = DropSeg(backbone=dict(arch=ARCH, img_size=32, patch_size=8), neck=small, decode_head=small)
    return VideoSegmentationInferencer(net, show_progress=False)


@pytest.fixture(params=['tracker', 'segmenter'])
def run(request):
    """A function ``run(video, folder)`` that goes through a video and writes all kinds of files into the folder."""
    inferencer = request.getfixturevalue(request.param)
    prompt = BOX if request.param == 'tracker' else mask()
    return lambda video, folder, **options: inferencer(video, prompt, out_dir=folder, **options)


def mask(value: int = 1, size=(48, 64)) -> np.ndarray:
    ids = np.zeros(size, np.uint8)
    ids[8:24, 8:24] = value
    return ids


def frames(number: int = 4, size=(48, 64)) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (*size, 3), dtype=np.uint8) for _ in range(number)]


def frame_counts(folder: Path) -> set[int]:
    """Frames in each file of a folder."""
    counts = {len(VideoFileReader(str(path))) for path in folder.glob('vis/*')}
    for path in folder.glob('preds/*'):
        if path.is_dir():
            counts.add(len([read_label_map(file) for file in path.iterdir()]))
        elif path.suffix == '.txt':
            counts.add(len(np.loadtxt(path, delimiter=',', ndmin=2)))
        else:
            counts.add(len(json.loads(path.read_text())['scores']))
    return counts


def files(folder: Path) -> list[str]:
    """All files in a folder."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob('*') if path.is_file())


class TestWrongInput:
    @pytest.mark.parametrize(
        ('wrong', 'message'),
        [
            (lambda f: f.astype(np.float32) / 255, r'frame 1 is float32 \(48, 64, 3\): .*\(255 \* frame\)'),
            (lambda f: f[..., 0], r'frame 1 is uint8 \(48, 64\): .* a gray frame'),
            (lambda f: f[..., :1], r'frame 1 is uint8 \(48, 64, 1\): .* a gray frame'),
            (lambda f: np.concatenate((f, f[..., :1]), 2), r'frame 1 is uint8 \(48, 64, 4\): .* an RGBA frame'),
            (lambda f: f.transpose(2, 0, 1), r'frame 1 is uint8 \(3, 48, 64\): .* frame\.transpose\(1, 2, 0\)'),
            (lambda f: f.astype(np.int64), r'frame 1 is int64 \(48, 64, 3\): frames are NumPy arrays, uint8 RGB'),
            (lambda f: f[:0], r'frame 1 is uint8 \(0, 64, 3\)'),
            (torch.from_numpy, 'frame 1 is of type Tensor: frames are NumPy arrays'),
        ],
    )
    def test_frames(self, run, tmp_path, wrong, message):
        video = frames(3)
        video[1] = wrong(video[1])
        with pytest.raises(ValueError, match=message):
            run(video, tmp_path)
        assert not [name for name in files(tmp_path) if name.startswith('vis')]

    def test_the_conversions_that_errors_name_work(self, run, tmp_path):
        frame = frames(1)[0]
        gray = frame[..., 0]
        video = [
            frame,
            (255 * (frame / 255)).round().astype(np.uint8),
            np.repeat(gray.reshape(*gray.shape[:2], 1), 3, axis=2),
            np.concatenate((frame, frame[..., :1]), 2)[..., :3],
        ]
        run(video, tmp_path)
        assert frame_counts(tmp_path) == {4}

    @pytest.mark.parametrize(
        ('box', 'message'),
        [
            ((1, 2, 3), r'must be four numbers \(x, y, w, h\) in pixels, got \(1, 2, 3\)'),
            ((1, 2, 3, 4, 5), 'must be four numbers'),
            ('1,2,3,4', 'must be four numbers'),
            (7, 'must be four numbers'),
            ((float('nan'), 2, 3, 4), 'no positive, finite area'),
            ((1, 2, -3, 4), r'\(1, 2, -3, 4\) has no positive, finite area'),
            ((64, 2, 3, 4), 'lies outside the frame of 64 x 48 pixels'),
            ((-1e9, 2, 3, 4), 'lies outside the frame'),
        ],
    )
    def test_boxes(self, tracker, tmp_path, box, message):
        (tmp_path / 'preds').mkdir()
        (tmp_path / 'preds/frames.txt').write_text('of an earlier run')
        with pytest.raises(ValueError, match=message):
            tracker(frames(), box, out_dir=tmp_path)
        assert (tmp_path / 'preds/frames.txt').read_text() == 'of an earlier run'

    @pytest.mark.parametrize(
        ('masks', 'message'),
        [
            (mask().astype(np.float32), 'the mask of frame 0 must be a label map'),
            (np.stack([mask()] * 3, 2), 'the mask of frame 0 must be a label map'),
            (mask(size=(24, 64)), 'the mask of frame 0 has 24 x 64 pixels, but the frame 48 x 64 pixels'),
            (mask(0), 'no object is given in the mask of frame 0$'),
            (mask(255), 'the mask of frame 0 holds 255, which is void.* use merge_objects=True'),
            (np.random.default_rng(0).integers(0, 99, (48, 64), dtype=np.uint8), 'shades and not ids'),
            ({0: mask(), 3: mask(size=(24, 64))}, 'the mask of frame 3 has 24 x 64 pixels'),
            ({0: mask(), 4: mask()}, 'a mask is given for frame 4, but the video has 4 frames'),
            ({-1: mask()}, 'a mask is given for frame -1'),
        ],
    )
    def test_masks_before_the_work(self, segmenter, tmp_path, masks, message):
        with pytest.raises(ValueError, match=message):
            segmenter(frames(), masks, out_dir=tmp_path / 'out')
        assert not (tmp_path / 'out').exists()

    def test_masks_of_0_and_255_are_one_object_if_told_so(self, segmenter, tmp_path):
        Image.fromarray(mask(255)).save(tmp_path / 'mask.png')
        for given in (mask(255), tmp_path / 'mask.png'):
            sample = next(segmenter.stream(frames(1), masks=given, merge_objects=True))
            assert np.array_equal(sample.pred_mask, mask(1))

    def test_models_and_outputs_that_do_not_fit(self, tracker, segmenter):
        with pytest.raises(ValueError, match='TrackingInferencer needs a SingleObjectTracker, got DropSeg'):
            TrackingInferencer(segmenter.model)
        with pytest.raises(ValueError, match='no output: set out_dir or return_datasamples'):
            segmenter(frames(), mask())
        with pytest.raises(ValueError, match=r"vis_format must be one of \.3gp .*, got '\.png'"):
            tracker(frames(), BOX, vis_format='.png')
        with pytest.raises(VideoReadError, match='camera 77: it cannot be opened'):
            tracker(77, BOX)


class TestInterrupts:
    """Ctrl-C, sent by the source of the frames to this process, or raised by it."""

    def interrupted(self, how: str, after: int):
        for number, frame in enumerate(frames(9)):
            if number == after and how == 'signal':
                os.kill(os.getpid(), signal.SIGINT)
            if number == after and how == 'raise':
                raise KeyboardInterrupt
            yield frame

    @pytest.mark.parametrize(('how', 'made'), [('signal', 4), ('raise', 3)])
    def test_all_files_are_finished(self, run, tmp_path, how, made):
        with pytest.raises(Interrupted, match=f'after {made} frames') as caught:
            run(self.interrupted(how, 3), tmp_path)
        assert caught.value.frames == made
        assert isinstance(caught.value, KeyboardInterrupt)
        assert frame_counts(tmp_path) == {made}
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler

    def test_before_the_first_frame_nothing_is_written(self, run, tmp_path):
        with pytest.raises(Interrupted) as caught:
            run(self.interrupted('raise', 0), tmp_path)
        assert caught.value.frames == 0
        assert not list(tmp_path.iterdir())

    def test_a_second_one_stops_at_once(self, run, tmp_path):
        def twice():
            for number, frame in enumerate(frames(9)):
                if number == 3:
                    os.kill(os.getpid(), signal.SIGINT)
                    os.kill(os.getpid(), signal.SIGINT)
                yield frame

        with pytest.raises(KeyboardInterrupt):
            run(twice(), tmp_path)

    def test_it_ends_a_camera(self, run, tmp_path, monkeypatch):
        """A camera of 12.5 frames a second, which has no other end."""

        class Camera:
            grabbed = 0

            def __init__(self, number):
                assert number == 0

            def isOpened(self):
                return True

            def get(self, what):
                return 12.5 if what == cv2.CAP_PROP_FPS else 0

            def grab(self):
                Camera.grabbed += 1
                if Camera.grabbed == 5:
                    os.kill(os.getpid(), signal.SIGINT)
                return True

            def retrieve(self):
                return True, frames(1)[0]

            def release(self):
                pass

        monkeypatch.setattr(cv2, 'VideoCapture', Camera)
        results = run(0, tmp_path)
        assert frame_counts(tmp_path) == {5}
        assert results['visualization'] == str(tmp_path / 'vis/camera_0.mp4')
        assert rate(results['visualization']) == 12.5

    def test_other_threads_are_left_alone(self, run, tmp_path):
        thread = threading.Thread(target=run, args=(frames(), tmp_path))
        thread.start()
        thread.join()
        assert frame_counts(tmp_path) == {4}


def rate(path: Path | str) -> Fraction:
    with av.open(str(path)) as container:
        return container.streams.video[0].guessed_rate


class TestDrawnVideos:
    @pytest.mark.parametrize('suffix', sorted(VIDEO_SUFFIXES))
    def test_every_suffix_gives_a_whole_video(self, tmp_path, suffix):
        shades = [np.full((48, 64, 3), 30 + 40 * i, np.uint8) for i in range(5)]
        path = tmp_path / f'12:30 drawn{suffix}'
        write_video(path, shades, fps=25)
        assert [entry.name for entry in tmp_path.iterdir()] == [path.name]
        with av.open(f'file:{path}') as container:
            decoded = [frame.to_ndarray(format='rgb24').mean() for frame in container.decode(video=0)]
        assert decoded == pytest.approx([30, 70, 110, 150, 190], abs=3)

    def test_at_the_rate_of_the_source(self, run, tmp_path, write_video):
        source = write_video(tmp_path / 'source.mp4', 4, options=('-r', '30000/1001', '-frames:v', '4'))
        drawn = [
            run(video, tmp_path, **options)['visualization']
            for video, options in ((source, {}), (source, dict(fps=10, vis_format='.mkv')), (frames(), {}))
        ]
        assert drawn == [str(tmp_path / 'vis' / name) for name in ('source.mp4', 'source.mkv', 'frames.mp4')]
        assert rate(drawn[0]) == rate(source) == Fraction(30000, 1001)
        assert [rate(path) for path in drawn[1:]] == [10, 25]

    def test_one_size_or_an_error(self, tracker, tmp_path):
        video = [*frames(2), *frames(1, (32, 64))]
        message = r'frames\.mp4: image 2 has 64 x 32 pixels, those before 64 x 48'
        with pytest.raises(ValueError, match=message):
            tracker(video, BOX, out_dir=tmp_path)
        assert files(tmp_path) == ['preds/frames.txt']
        assert len(tracker(video, BOX)['predictions']['scores']) == 3, 'boxes alone can be had'

    def test_what_a_format_refuses_is_an_error(self, tmp_path):
        with pytest.raises(ValueError, match=r'v\.mpg: a video of 64 x 48 pixels and 7 frames a second cannot be'):
            write_video(tmp_path / 'v.mpg', frames(), fps=7)
        assert not list(tmp_path.iterdir())


class TestResults:
    def test_predictions_and_data_samples(self, tracker, segmenter, tmp_path):
        video = frames(3)
        results = tracker(video, BOX, out_dir=tmp_path)
        assert results['predictions'] == json.loads((tmp_path / 'preds/frames.json').read_text())
        samples = tracker(video, BOX, return_datasamples=True)['predictions']
        assert [sample.pred_bbox for sample in samples] == results['predictions']['boxes_xywh']
        assert [sample.pred_score for sample in samples] == results['predictions']['scores']
        assert all(sample.frame is frame for sample, frame in zip(samples, video, strict=True))
        results = segmenter(video, mask(), out_dir=tmp_path, save_vis=False)
        folder = str(tmp_path / 'preds/frames')
        assert results == dict(predictions=dict(video='frames', num_frames=3, mask_dir=folder), visualization=None)
        samples = segmenter(video, mask(), return_datasamples=True)['predictions']
        for number, sample in enumerate(samples):
            assert np.array_equal(sample.pred_mask, read_label_map(f'{folder}/{number:05d}.png'))

    def test_frames_are_not_kept(self, run, tmp_path):
        """Of a video of any length only the last frames are in memory."""
        alive = []

        def video():
            for frame in frames(9):
                frame = frame.copy()
                alive.append(weakref.ref(frame))
                yield frame
                del frame
                gc.collect()
                assert sum(ref() is not None for ref in alive) <= 2

        run(video(), tmp_path)
        assert len(alive) == 9

    def test_a_lost_frame_is_black(self, tracker, tmp_path):
        video = frames(3)
        video[1] = None
        results = tracker(video, BOX, out_dir=tmp_path)
        assert results['predictions']['scores'][1] == 0
        drawn = VideoFileReader(results['visualization']).get_batch([0, 1, 2])
        assert drawn[1, 30:].mean() < 3
        assert drawn[[0, 2], 30:].mean() > 60

    def test_model_by_name_config_or_itself(self, tracker, tracking_config, tmp_path, monkeypatch):
        torch.save(dict(state_dict=tracker.model.state_dict()), tmp_path / 'tracker.pth')
        tracking_config.dump(tmp_path / 'config.py')
        expected = tracker(frames(), BOX)
        monkeypatch.setitem(model_zoo._CONFIGS, 'tiny_tracker', tmp_path / 'config.py')
        for config in (tracking_config, tmp_path / 'config.py', str(tmp_path / 'config.py'), 'tiny_tracker'):
            other = TrackingInferencer(config, tmp_path / 'tracker.pth', 'cpu', show_progress=False)
            assert other(frames(), BOX) == expected
        for parameter in other.model.parameters():
            torch.nn.init.normal_(parameter)
        assert other(frames(), BOX) != expected
        again = TrackingInferencer(other.model, tmp_path / 'tracker.pth', show_progress=False)
        assert again.model is other.model
        assert again(frames(), BOX) == expected
        assert 'tiny_tracker' in TrackingInferencer.list_models('tiny')
        with pytest.raises(FileNotFoundError, match='no_model'):
            TrackingInferencer('no_model', tmp_path / 'tracker.pth')


def test_a_folder_named_like_a_number_is_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert parse_video('0001') == 1
    assert parse_video('a.mp4') == 'a.mp4'
    (tmp_path / '0001').mkdir()
    Image.fromarray(frames(1)[0]).save(tmp_path / '0001/0.png')
    assert parse_video('0001') == '0001'
    source = open_video(parse_video('0001'))
    assert (source.name, source.length, source.live) == ('0001', 1, False)
