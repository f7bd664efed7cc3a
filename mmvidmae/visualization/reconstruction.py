"""Images of reconstructions."""

from collections.abc import Sequence

import cv2
import numpy as np
import torch
from mmpretrain.structures import DataSample

from mmvidmae.datasets.readers import printable

CELL, GAP, LINE = 112, 4, 18
"""In pixels: least side of an image, space between images, height of a line of text."""


def _write(canvas: np.ndarray, text: str, top: int, left: int) -> None:
    cv2.putText(canvas, text, (left, top + 13), cv2.FONT_HERSHEY_SIMPLEX, 0.42, (0, 0, 0), 1, cv2.LINE_AA)


def draw_reconstructions(samples: Sequence[DataSample]) -> np.ndarray:
    """Draw clips with what the model saw and what it made of it, one row a clip.

    A row shows original, masked image (hidden patches gray) and reconstruction of each frame, of a pair first of the
    past, then of the future frame. Its caption names the video, the frame numbers and the error of the clip, where the
    sample has them.

    Args:
        samples: At least one sample of ``PairMAE.predict``, all of one frame size H x W. Small frames are enlarged by
            a whole factor.

    Returns:
        ``(height, width, 3)`` uint8 RGB.
    """
    num_frames = len(samples[0].frames)
    frames = ('past', 'future') if num_frames == 2 else [f'frame {index}' for index in range(num_frames)]
    columns = [label for frame in frames for label in (frame, 'masked', 'reconstruction')]
    enlarge = max(1, -(-CELL // min(samples[0].frames.shape[-2:])))
    rows = []
    for sample in samples:
        masked = torch.where(sample.mask[:, None], torch.full_like(sample.frames, 128), sample.frames)
        cells = torch.stack([sample.frames, masked, sample.reconstruction], dim=1).flatten(0, 1)
        cells = cells.permute(0, 2, 3, 1).cpu().numpy()
        rows.append(cells.repeat(enlarge, axis=1).repeat(enlarge, axis=2))

    height, width = (side + GAP for side in rows[0].shape[1:3])
    canvas = np.full((LINE + len(rows) * (height + LINE), len(columns) * width + GAP, 3), 255, np.uint8)
    for column, label in enumerate(columns):
        _write(canvas, label, 0, GAP + column * width)
    for row, (cells, sample) in enumerate(zip(rows, samples, strict=True)):
        top = LINE + row * (height + LINE)
        for column, cell in enumerate(cells):
            left = GAP + column * width
            canvas[top : top + cell.shape[0], left : left + cell.shape[1]] = cell
        _write(canvas, _caption(sample), top + height - GAP, GAP)
    return canvas


def _caption(sample: DataSample) -> str:
    parts = []
    if 'video_path' in sample:
        parts.append(printable(str(sample.video_path).replace('\\', '/').rsplit('/', 1)[-1]))
    if 'frame_ids' in sample:
        *others, last = map(str, sample.frame_ids)
        parts.append(f'frames {", ".join(others)} and {last}' if others else f'frame {last}')
    if 'error' in sample:
        parts.append(f'error {float(sample.error):.3f} (constant {float(sample.constant_error):.3f})')
    return ', '.join(parts)
