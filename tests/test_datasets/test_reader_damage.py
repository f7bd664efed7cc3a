"""Damaged videos of many containers: reading them raises nothing but the reader's own error, and ends."""

import numpy as np
import pytest
from samples import encode, make_frames

from mmvidmae.datasets import VideoFileReader, VideoReadError

FILES_OF_A_KIND = 112
KINDS = {
    'index_at_end.mp4': '-c:v libx264 -bf 2',
    'index_first.mp4': '-c:v libx264 -bf 0 -movflags +faststart',
    'fragments.mp4': '-c:v libx264 -movflags frag_keyframe+empty_moov',
    'hevc.mp4': '-c:v libx265 -x265-params log-level=none',
    'av1.mp4': '-c:v libaom-av1 -cpu-used 8',
    'prores.mov': '-c:v prores_ks',
    'palette.mov': '-c:v qtrle -pix_fmt pal8',
    'h263.3gp': '-c:v h263 -s 128x96',
    'h264.mkv': '-c:v libx264 -bf 2',
    'vp8.webm': '-c:v libvpx',
    'vp9.webm': '-c:v libvpx-vp9',
    'b_frames.avi': '-c:v mpeg4 -bf 2',
    'palette.avi': '-c:v rawvideo -pix_fmt pal8',
    'motion.avi': '-c:v mjpeg -pix_fmt yuvj420p',
    'h264.flv': '-c:v libx264 -bf 2',
    'h264.ts': '-c:v libx264 -bf 2',
    'mpeg2.mpg': '-c:v mpeg2video -bf 2',
    'wmv.wmv': '-c:v wmv2',
    'theora.ogv': '-c:v libtheora',
    'raw.h264': '-c:v libx264 -bf 2',
}


@pytest.fixture(scope='module')
def sound_files(tmp_path_factory):
    """The bytes of one small video of each kind, 12 frames in three groups."""
    folder = tmp_path_factory.mktemp('sound')
    frames = make_frames(12, 32, 48)
    for name, options in KINDS.items():
        encode(folder / name, frames, '-g', '4', '-metadata', 'title=t', *options.split())
    return {name: (folder / name).read_bytes() for name in KINDS}


def damage(data, other, rng):
    """A copy of a file with a few bytes flipped, a part zeroed, cut out or overwritten with another file's, or cut off
    at the end. Half of the damage falls on the first 600 bytes, where headers are."""
    data = bytearray(data)
    for _ in range(rng.integers(1, 4)):
        end = min(len(data), 600) if rng.random() < 0.5 else len(data)
        start, size = int(rng.integers(end)), int(rng.integers(1, 200))
        kind = rng.integers(6)
        if kind == 0:
            for place in rng.integers(0, end, rng.integers(1, 20)):
                data[place] ^= 1 << rng.integers(8)
        elif kind == 1:
            data[start] = rng.integers(256)
        elif kind == 2:
            data[start : start + size] = bytes(len(data[start : start + size]))
        elif kind == 3:
            place = int(rng.integers(len(other)))
            data[start : start + size] = other[place : place + size]
        elif kind == 4:
            del data[start : start + size]
        else:
            del data[max(start, 20) :]
        if len(data) < 20:
            break
    return bytes(data)


def read_in_every_way(path):
    """Reads a video; gives the reader's error, if it raises that."""
    try:
        reader = VideoFileReader(str(path))
        last = len(reader) - 1
        shapes = {reader.get_batch([last, 0, last // 2]).shape[1:]}
        shapes |= {frame.shape for frame in reader}
    except VideoReadError as failure:
        return failure
    assert len(shapes) == 1
    return None


@pytest.mark.parametrize('kind', KINDS)
def test_raises_nothing_but_its_own_error(sound_files, tmp_path, kind):
    rng = np.random.default_rng(list(kind.encode()))
    path = tmp_path / kind
    path.write_bytes(sound_files[kind])
    assert read_in_every_way(path) is None
    others = list(sound_files.values())
    failures = []
    for _ in range(FILES_OF_A_KIND):
        path.write_bytes(damage(sound_files[kind], others[rng.integers(len(others))], rng))
        failures.append(read_in_every_way(path))
    assert any(failures)  # or nothing was damaged
    assert all(failure.path == str(path) and failure.reason for failure in failures if failure)


def test_are_enough():
    assert FILES_OF_A_KIND * len(KINDS) >= 2000
