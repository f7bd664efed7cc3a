"""Visualizers draw data samples, and every backend gets the images."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.structures import BaseDataElement
from mmengine.visualization import Visualizer
from mmpretrain.structures import DataSample
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from mmvidmae.registry import VISUALIZERS
from mmvidmae.visualization import (
    FeatureVisualizer,
    PropagationVisualizer,
    ReconstructionVisualizer,
    VideoVisualizer,
    draw_box,
    draw_features,
    draw_masks,
    draw_pose,
    draw_reconstructions,
    principal_components,
)


@pytest.fixture
def pair():
    """A reconstructed pair of noise."""
    sample = DataSample()
    frames = torch.randint(256, (2, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    for name, value in (('frames', frames), ('reconstruction', frames), ('mask', frames[:, 0] > 128)):
        sample.set_field(value, name)
    return sample


def gray(height=40, width=60) -> np.ndarray:
    return np.full((height, width, 3), 100, np.uint8)


def written_images(backend: str, folder: Path) -> list[np.ndarray]:
    """Images that a backend has written, RGB, in order of their steps."""
    if backend == 'TensorboardVisBackend':
        images = EventAccumulator(str(folder / 'vis_data')).Reload().Images('val_reconstruction')
        assert [image.step for image in images] == [8, 16]
        return [
            cv2.imdecode(np.frombuffer(image.encoded_image_string, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
            for image in images
        ]
    paths = list(folder.rglob('val_reconstruction_*.png'))
    if backend in ('LocalVisBackend', 'MLflowVisBackend'):
        assert sorted(path.name for path in paths) == ['val_reconstruction_16.png', 'val_reconstruction_8.png']
        paths.sort(key=lambda path: len(path.name))
    else:
        paths.sort(key=lambda path: path.stat().st_mtime_ns)
    return [np.asarray(Image.open(path)) for path in paths]


@pytest.mark.parametrize(
    ('backend', 'package', 'options'),
    [
        ('LocalVisBackend', 'mmengine', {}),
        ('TensorboardVisBackend', 'tensorboard', {}),
        ('WandbVisBackend', 'wandb', dict(init_kwargs=dict(mode='offline'))),
        ('MLflowVisBackend', 'mlflow', dict(tracking_uri='file://{}/mlruns')),
    ],
)
def test_real_backends_get_the_images(tmp_path, monkeypatch, pair, backend, package, options):
    """Those of MMEngine's own visualizer, as hooks use them. Weights & Biases and MLflow only where they are
    installed."""
    pytest.importorskip(package)
    monkeypatch.setenv('MLFLOW_ALLOW_FILE_STORE', 'true')
    options = {key: value.format(tmp_path) if isinstance(value, str) else value for key, value in options.items()}
    plain = Visualizer(vis_backends=[dict(type=backend, **options)], save_dir=str(tmp_path))
    plain.add_config(Config(dict(work_dir=str(tmp_path))))
    visualizer = ReconstructionVisualizer.sharing_backends(plain)
    expected = [visualizer.add_datasample('val_reconstruction', [pair] * number, step=8 * number) for number in (1, 2)]
    visualizer.close()
    images = written_images(backend, tmp_path)
    assert all(np.array_equal(image, drawn) for image, drawn in zip(images, expected, strict=True))
    assert np.array_equal(expected[0], draw_reconstructions([pair]))


def test_visualizers_are_registered():
    for name in ('ReconstructionVisualizer', 'VideoVisualizer', 'PropagationVisualizer', 'FeatureVisualizer'):
        backends = [dict(type='LocalVisBackend')]
        built = VISUALIZERS.build(dict(type=f'mmvidmae.{name}', name=name, vis_backends=backends, save_dir='x'))
        assert type(built).__name__ == name
        assert type(built).sharing_backends(built) is built
        assert built.get_backend('LocalVisBackend')


def test_a_frame_shows_what_its_sample_has():
    mask = np.zeros((40, 60), np.uint8)
    mask[10:20, 10:30] = 2
    visualizer = VideoVisualizer()
    both = BaseDataElement(metainfo=dict(frame_id=3), pred_mask=mask, pred_bbox=[5, 5, 20, 20], pred_score=0.5)
    expected = draw_box(draw_masks(gray(), mask), [5, 5, 20, 20], '3  0.50')
    assert np.array_equal(visualizer.add_datasample('frame', gray(), both), expected)
    joints = np.full((15, 2), 20.0)
    pose = visualizer.add_datasample('frame', gray(), BaseDataElement(pred_joints=joints))
    assert np.array_equal(pose, draw_pose(gray(), joints))
    assert np.array_equal(visualizer.add_datasample('frame', gray(), BaseDataElement()), gray())


def test_frames_of_a_video_are_drawn_one_by_one(tmp_path):
    for number in range(3):
        Image.fromarray(gray() + number).save(tmp_path / f'{number}.png')
    masks = np.zeros((3, 40, 60), np.uint8)
    masks[1, 10:20] = 1
    sample = BaseDataElement(pred_masks=masks)
    sample.set_metainfo(dict(frame_paths=[str(tmp_path / f'{n}.png') for n in range(3)], frame_names=['0', '1', '2']))
    drawn = PropagationVisualizer().draw_frames(sample, [1, 2])
    assert np.array_equal(next(drawn), draw_masks(gray() + 1, masks[1]))
    assert np.array_equal(next(drawn), gray() + 2)


def test_similar_patches_have_similar_colors():
    """Two kinds of patches, also in another frame; noise is weak."""
    generator = torch.Generator().manual_seed(0)
    kinds = torch.randn(2, 16, generator=generator)
    layout = torch.zeros(4, 6, dtype=torch.long)
    layout[:, 3:] = 1
    features = [kinds[grid].permute(2, 0, 1) for grid in (layout, layout.flip(1))]
    features = [part + 0.01 * torch.randn(part.shape, generator=generator) for part in features]
    components = principal_components(features[0])
    one, other = (draw_features(part, components).astype(int) for part in features)
    assert abs(one[:, :3, 0].mean() - one[:, 3:, 0].mean()) > 60
    assert one[:, :3, 0].std() < 3
    assert abs(one[..., 0] - other[:, ::-1, 0]).max() < 10
    sample = BaseDataElement(feature_map=features[0])
    image = FeatureVisualizer().add_datasample('features', gray(), sample, components)
    assert image.shape == (40, 120, 3)
    assert (image[:, :60] == 100).all()
    assert draw_features(torch.ones(8, 1, 1), principal_components(torch.ones(8, 1, 1))).tolist() == [[[128] * 3]]
