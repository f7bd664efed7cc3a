"""Fixtures shared by the whole suite: tiny real videos, encoded on the spot.

Every clip shows a textured square that moves over a gradient. Its top left 16 x 16 corner carries the frame number as
brightness (``FRAME_STEP`` grey levels a frame), so that a test can tell which frame it was given.
"""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest
from PIL import Image

FRAME_STEP = 6
"""Grey levels between the corners of neighbouring frames: codecs blur a few levels, never this many."""


def make_frames(num_frames: int, height: int = 48, width: int = 64, seed: int = 0) -> np.ndarray:
    """Draws a clip.

    Args:
        num_frames: At most 40, so that every frame number has a brightness of its own.
        height: Even number of pixels, at least 32.
        width: Even number of pixels, at least 32.
        seed: Chooses the texture, the colours and the direction of the motion.

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
    command = [imageio_ffmpeg.get_ffmpeg_exe(), '-loglevel', 'error', '-y', *source, *target]
    subprocess.run(command, input=frames.tobytes(), check=True, timeout=60)
    return path


@pytest.fixture(scope='session', autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Keeps the suite away from the user's cache of folder scans, here and in the processes that tests start."""
    os.environ['MMVIDMAE_CACHE'] = str(tmp_path_factory.mktemp('cache'))


@pytest.fixture(scope='session')
def write_video() -> Callable[..., Path]:
    """A function ``write_video(path, frames, height=48, width=64, seed=0, options=())`` that returns the path.

    ``frames`` is the number of frames to draw, or the frames themselves, (T, H, W, 3) uint8 RGB.
    """

    def write(
        path: Path, frames: int | np.ndarray, height: int = 48, width: int = 64, seed: int = 0, options=()
    ) -> Path:
        if isinstance(frames, int):
            frames = make_frames(frames, height, width, seed)
        return encode(Path(path), frames, *options)

    return write


@pytest.fixture(scope='session')
def frame_number() -> Callable[[np.ndarray], int]:
    """A function that reads the number back from an uncropped (H, W, 3) frame of a clip made by ``write_video``."""

    def read(frame: np.ndarray) -> int:
        return round(float(np.asarray(frame)[2:14, 2:14].mean()) / FRAME_STEP)

    return read


@pytest.fixture(scope='session')
def video_dir(tmp_path_factory: pytest.TempPathFactory, write_video) -> Path:
    """A folder with six readable clips of 12 to 40 frames (64 x 48; mp4, avi and mkv). Read only: tests share it."""
    root = tmp_path_factory.mktemp('videos')
    for seed, (name, num_frames) in enumerate(
        [('a.mp4', 12), ('b.mp4', 18), ('c.avi', 24), ('d.mkv', 30), ('e.mp4', 36), ('f f.mp4', 40)]
    ):
        write_video(root / name, num_frames, seed=seed)
    return root


@pytest.fixture(scope='session')
def davis(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """DAVIS' layout: sequences a, b and c of 3, 4 and 5 frames (96 x 64), each a textured square that moves by 8 pixels
    a frame, with its masks. Read only: tests share it."""
    root = tmp_path_factory.mktemp('davis')
    (root / 'ImageSets/2017').mkdir(parents=True)
    (root / 'ImageSets/2017/val.txt').write_text('a\nb\nc\n')
    rng = np.random.default_rng(0)
    for num_frames, name in enumerate('abc', 3):
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


@pytest.fixture(scope='session')
def sequences(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tracking sequences in SequenceFolderDataset's layout: a, b and c of 22, 24 and 26 frames (96 x 72), each a bright
    square of 16 pixels that moves by (2, 1) pixels a frame from (8 + 4 i, 6). Read only: tests share it."""
    root = tmp_path_factory.mktemp('sequences')
    rng = np.random.default_rng(0)
    for index, name in enumerate('abc'):
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
