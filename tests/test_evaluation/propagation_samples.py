"""Samples as ``LabelPropagator`` gives them, made up."""

from pathlib import Path

import numpy as np
from mmpretrain.structures import DataSample
from PIL import Image

PROTOCOL = dict(preset='cropmae', topk=7, queue=20, radius=20, temperature=0.7)


def moving_objects(num_frames: int, size: tuple[int, int] = (48, 86), objects: int = 2, shift: int = 0) -> np.ndarray:
    """Ids 1 to ``objects`` as rectangles that move to the right, uint8 ``(T, H, W)``; ``shift`` moves all of them."""
    masks = np.zeros((num_frames, *size), dtype=np.uint8)
    for frame, mask in enumerate(masks):
        for index in range(objects):
            top, left = 4 + 14 * index, 5 + 2 * frame + 3 * index
            mask[top + shift : top + 12 + shift, left : left + 20 - 4 * index] = index + 1
    return masks


def write_masks(folder: Path, masks: np.ndarray, mode: str = 'P') -> list[str]:
    """Write annotations with Pillow alone and give their paths."""
    folder.mkdir(parents=True)
    paths = [folder / f'{frame:05d}.png' for frame in range(len(masks))]
    for path, mask in zip(paths, masks):
        image = Image.fromarray(mask)
        if mode == 'P':
            image.putpalette(np.random.default_rng(0).integers(0, 256, 768, dtype=np.uint8).tobytes())
        image.save(path)
    return [str(path) for path in paths]


def video_sample(name: str, num_frames: int, **metainfo) -> DataSample:
    """Metainfo of a video."""
    values = dict(
        video_name=name,
        frame_names=[f'{frame:05d}' for frame in range(num_frames)],
        ori_shape=(48, 86),
        input_size='480x880',
        protocol=PROTOCOL,
        **metainfo,
    )
    sample = DataSample()
    for key, value in values.items():
        sample.set_field(value, key, field_type='metainfo')
    return sample


def mask_sample(
    name: str, pred: np.ndarray, gt_paths: list[str | None], given: tuple[int, ...] = (0,), **changes
) -> DataSample:
    """A video with predicted masks; ``changes`` are of its metainfo."""
    sample = video_sample(name, len(pred))
    sample.set_field(pred, 'pred_masks')
    sample.set_field(gt_paths, 'gt_paths')
    sample.set_field({frame: pred[frame] for frame in given}, 'reference_masks')
    for key, value in changes.items():
        sample.set_field(value, key, field_type='metainfo')
    return sample


def pose_sample(name: str, pred: np.ndarray, gt: np.ndarray) -> DataSample:
    """A video with predicted and true joints ``(T, J, 2)``."""
    sample = video_sample(name, len(pred))
    sample.set_field(pred, 'pred_joints')
    sample.set_field(gt, 'gt_joints')
    return sample
