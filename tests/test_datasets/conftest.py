"""Clips that cannot be read, each broken in its own way."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from samples import run_ffmpeg

UNOPENABLE = (
    'missing.mp4',
    'empty.mp4',
    'text.mp4',
    'image.mp4',
    'sound.mp4',
    'zero_frames.mp4',
    'no_index.mp4',
    'cut_off.mp4',
)
"""The clips of ``bad_clips`` that fail on opening; ``damaged.mp4`` opens, but its second half cannot be decoded."""


@pytest.fixture(scope='session', params=UNOPENABLE)
def unopenable(request: pytest.FixtureRequest, bad_clips: Path) -> Path:
    """One bad clip after the other."""
    return bad_clips / request.param


@pytest.fixture(scope='session')
def bad_clips(tmp_path_factory: pytest.TempPathFactory, write_video) -> Path:
    """A folder with the clips of ``UNOPENABLE`` and ``damaged.mp4``. Read only."""
    root = tmp_path_factory.mktemp('bad_clips')
    (root / 'empty.mp4').touch()
    (root / 'text.mp4').write_text('this is no video\n' * 100)
    cv2.imwrite(str(root / 'image.png'), np.zeros((48, 64, 3), np.uint8))
    (root / 'image.png').rename(root / 'image.mp4')
    run_ffmpeg('-f', 'lavfi', '-i', 'sine=duration=1', str(root / 'sound.mp4'))
    run_ffmpeg('-f', 'lavfi', '-i', 'testsrc=size=64x48', '-frames:v', '0', str(root / 'zero_frames.mp4'))

    # An mp4 file's index lies at its end, or with +faststart at its beginning.
    whole = write_video(root / 'no_index.mp4', 40).read_bytes()
    (root / 'no_index.mp4').write_bytes(whole[: len(whole) // 2])
    fast = write_video(root / 'cut_off.mp4', 40, options=('-movflags', '+faststart', '-g', '8')).read_bytes()
    (root / 'cut_off.mp4').write_bytes(fast[: len(fast) // 2])
    (root / 'damaged.mp4').write_bytes(fast[: len(fast) // 2] + bytes(len(fast) - len(fast) // 2))
    return root
