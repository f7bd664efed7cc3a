"""Pictures of a frozen evaluation."""

from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from mmengine.visualization import Visualizer
from mmpretrain.structures import DataSample
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from mmvidmae.datasets import VideoFileReader
from mmvidmae.engine.hooks import PropagationVisHook


@pytest.fixture
def sample(tmp_path):
    paths = []
    for index in range(10):
        path = tmp_path / 'frames' / f'{index:05d}.png'
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(np.full((60, 90, 3), 100, np.uint8)).save(path)
        paths.append(str(path))
    names = [f'{index:05d}' for index in range(10)]
    result = DataSample(metainfo=dict(video_name='clap/a', frame_names=names, frame_paths=paths))
    masks = np.zeros((10, 60, 90), np.uint8)
    masks[:, 20:40, 20:40] = 1
    result.set_field(masks, 'pred_masks')
    return result


@pytest.fixture
def runner(tmp_path):
    """Its work dir, and a visualizer of MMEngine with local files and TensorBoard."""
    backends = [dict(type='LocalVisBackend'), dict(type='TensorboardVisBackend')]
    visualizer = Visualizer(vis_backends=backends, save_dir=str(tmp_path / 'run'))
    yield SimpleNamespace(work_dir=str(tmp_path / 'work'), visualizer=visualizer)
    visualizer.close()


def test_masks_on_a_sheet_and_in_a_video(tmp_path, runner, sample):
    PropagationVisHook(num_frames=4, video=True).after_test_iter(runner, 0, outputs=[sample])
    runner.visualizer.close()
    assert [path.name for path in (tmp_path / 'work').rglob('*.*')] == ['a.mp4']
    assert len(VideoFileReader(str(tmp_path / 'work/propagation/clap/a.mp4'))) == 10
    sheet = cv2.imread(str(tmp_path / 'run/vis_data/vis_image/propagation_clap_a_0.png'))
    assert sheet.shape[:2] == (60 + 18 + 4 + 4, 4 * 94 + 4)
    blue, green, red = sheet[4 + 30, 4 + 30].astype(int)
    assert red > green + 40
    assert red > blue + 40
    events = EventAccumulator(str(tmp_path / 'run/vis_data')).Reload()
    (image,) = events.Images('propagation_clap_a')
    decoded = cv2.imdecode(np.frombuffer(image.encoded_image_string, np.uint8), cv2.IMREAD_COLOR)
    assert np.array_equal(decoded, sheet)


def test_limits_poses_and_short_videos(tmp_path, runner, sample):
    hook = PropagationVisHook(max_videos=1, side=45)
    hook.after_test_iter(runner, 1, outputs=[sample])
    assert not (tmp_path / 'work').exists()
    assert not (tmp_path / 'run/vis_data/vis_image').exists()
    pose = DataSample(metainfo=dict(video_name='b', frame_names=['0'], frame_paths=sample.frame_paths[:1]))
    pose.set_field(np.full((1, 15, 2), 30.0), 'pred_joints')
    hook.after_test_iter(runner, 0, outputs=[pose])
    sheet = cv2.imread(str(tmp_path / 'run/vis_data/vis_image/propagation_b_0.png'))
    assert sheet.shape[:2] == (30 + 18 + 8, 45 + 8)
    assert (abs(sheet[4:34, 4:49].astype(int) - 100) > 20).any()
