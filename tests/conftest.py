"""Fixtures shared by the whole suite: tiny real videos, encoded on the spot.

Every clip shows a textured square that moves over a gradient. Its top left 16 x 16 corner carries the frame number as
brightness (``FRAME_STEP`` gray levels a frame), so that a test can tell which frame it was given.
"""

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.runner import loops
from samples import FRAME_STEP, encode, make_davis, make_frames, make_sequences

# Some tests fork, and OpenMP's threads do not survive that: a child that computes with two would wait for ever.
torch.set_num_threads(1)

# A shell's background job ignores Ctrl-C, and so would the programs that tests interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope='session', autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Keeps the suite away from the user's cache of folder scans, here and in the processes that tests start."""
    os.environ['MMVIDMAE_CACHE'] = str(tmp_path_factory.mktemp('cache'))


@pytest.fixture(scope='session', autouse=True)
def no_pauses() -> Iterator[None]:
    """MMEngine's iteration-based loop sleeps two seconds after each pass over the data, which tests have many of."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loops, 'time', SimpleNamespace(sleep=lambda seconds: None))
        yield


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
    """DAVIS' layout: sequences a, b and c of 3, 4 and 5 frames, see ``make_davis``. Read only: tests share it."""
    root = make_davis(tmp_path_factory.mktemp('davis'), dict(a=3, b=4, c=5))
    (root / 'ImageSets/2017').mkdir(parents=True)
    (root / 'ImageSets/2017/val.txt').write_text('a\nb\nc\n')
    return root


@pytest.fixture(scope='session')
def sequences(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tracking sequences a, b and c, see ``make_sequences``. Read only: tests share it."""
    return make_sequences(tmp_path_factory.mktemp('sequences'))
