"""Made-up data: clips, a tree like DAVIS's, tracking sequences."""

import subprocess
from collections.abc import Sequence
from pathlib import Path

import imageio_ffmpeg
import numpy as np
from PIL import Image

FRAME_STEP = 6
"""Gray levels between the corners of neighboring frames: codecs blur a few levels, never this many."""


def make_frames(num_frames: int, height: int = 48, width: int = 64, seed: int = 0) -> np.ndarray:
    """Draws a clip.

    Args:
        num_frames: At most 40, so that every frame number has a brightness of its own.
        height: Even number of pixels, at least 32.
        width: Even number of pixels, at least 32.
        seed: Chooses the texture, the colors and the direction of the motion.

    Returns:
        Array of shape (num_frames, height, width, 3), uint8 RGB.
    """
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    gradient = np.stack([y / height, x / width, (x + y) / (height + width)], -1)[..., rng.permutation(3)]
    texture = np.kron(rng.uniform(0, 255, (4, 4, 3)), np.ones((4, 4, 1)))
    start, step = rng.integers(0, 16, 2), rng.choice([-2, -1, 1, 2], 2)
    frames = np.repeat((200 * gradient + 20)[None], num_frames, 0)
    for index, frame in enumerate(frames):
        top, left = (start + index * step) % (height - 16, width - 16)
        frame[top : top + 16, left : left + 16] = texture
        frame[:16, :16] = FRAME_STEP * index
    return frames.astype(np.uint8)


def encode(path: Path, frames: np.ndarray, *options: str) -> Path:
    """Writes frames (T, H, W, 3), uint8 RGB, as a video; the suffix chooses the container, ``options`` go to ffmpeg."""
    height, width = frames.shape[1:3]
    path.parent.mkdir(parents=True, exist_ok=True)
    source = ['-f', 'rawvideo', '-pix_fmt', 'rgb24', '-s', f'{width}x{height}', '-r', '25', '-i', '-']
    target = ['-pix_fmt', 'yuv420p', *(options or ('-crf', '12')), str(path)]
    run_ffmpeg(*source, *target, data=frames.tobytes())
    return path


def run_ffmpeg(*arguments: str, data: bytes | None = None) -> None:
    """Runs ffmpeg, with ``data`` as its standard input."""
    command = [imageio_ffmpeg.get_ffmpeg_exe(), '-loglevel', 'error', '-y', *arguments]
    subprocess.run(command, input=data, check=True, timeout=60)


def make_davis(root: Path, frames: dict[str, int]) -> Path:
    """DAVIS' layout: sequences by name with their numbers of frames (96 x 64), each a textured square that moves by 8
    pixels a frame, with its masks; no lists."""
    rng = np.random.default_rng(0)
    for name, num_frames in frames.items():
        texture = rng.integers(120, 256, (24, 24, 3), dtype=np.uint8)
        for index in range(num_frames):
            square = np.s_[16:40, 8 + 8 * index : 32 + 8 * index]
            frame, mask = np.full((64, 96, 3), 40, np.uint8), np.zeros((64, 96), np.uint8)
            frame[square], mask[square] = texture, 1
            for folder, suffix, image in (('JPEGImages', 'jpg', frame), ('Annotations', 'png', mask)):
                path = root / folder / '480p' / name / f'{index:05d}.{suffix}'
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(image).save(path)
    return root


def make_sequences(root: Path, names: Sequence[str] = 'abc') -> Path:
    """Tracking sequences in SequenceFolderDataset's layout: of 22, 24, ... frames (96 x 72), each a bright square of 16
    pixels that moves by (2, 1) pixels a frame from (8 + 4 i, 6)."""
    rng = np.random.default_rng(0)
    for index, name in enumerate(names):
        scene = rng.integers(0, 80, (72, 96, 3), dtype=np.uint8)
        (root / name / 'img').mkdir(parents=True)
        lines = []
        for number in range(22 + 2 * index):
            frame, x, y = scene.copy(), 8 + 4 * index + 2 * number, 6 + number
            frame[y : y + 16, x : x + 16] = (250, 200, 30)
            Image.fromarray(frame).save(root / name / 'img' / f'{number:04d}.jpg', quality=95)
            lines.append(f'{x},{y},16,16\n')
        (root / name / 'groundtruth_rect.txt').write_text(''.join(lines))
    return root
