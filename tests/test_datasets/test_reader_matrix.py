"""Every path of the video reader against ffmpeg's own output, over containers, codecs, group structures, remuxes,
trims, cuts, rotations and changes of size."""

import struct
from functools import partial
from itertools import product

import numpy as np
import pytest
from samples import encode, make_frames, run_ffmpeg

from mmvidmae.datasets import VideoFileReader

NUM_FRAMES = 25
X264 = '-c:v libx264 -x264-params scenecut=0:b-adapt=0:keyint=8:min-keyint=8'
X265 = '-c:v libx265 -x265-params log-level=none:scenecut=0:b-adapt=0:keyint=8:min-keyint=8'
GROUPS = dict(
    no_b=f'{X264}:bframes=0',
    b=f'{X264}:bframes=3:b-pyramid=none',
    pyramid=f'{X264}:bframes=5:b-pyramid=normal',
    open=f'{X264}:bframes=3:open-gop=1',
    intra='-c:v libx264 -g 1',
    refresh='-c:v libx264 -x264-params bframes=0:intra-refresh=1:keyint=8',
)
"""H.264, by how frames refer to others."""


def cut(share, data):
    """A transport stream that begins in mid-group: its tables, and the packets after so much of it."""
    return data[: 3 * 188] + data[int(len(data) * share) // 188 * 188 :]


def join(*streams):
    """One stream after the other."""
    return b''.join(streams)


def join_ivf(*files):
    """IVF files one after the other, with times that go on."""
    joined, time = bytearray(files[0][:32]), 0
    for data in files:
        place = 32
        while place < len(data):
            (size,) = struct.unpack_from('<I', data, place)
            joined += struct.pack('<IQ', size, time) + data[place + 12 : place + 12 + size]
            place, time = place + 12 + size, time + 1
    return bytes(joined)


ENCODED = {f'{name}.mp4': options for name, options in GROUPS.items()} | {
    'hevc_open.mp4': f'{X265}:open-gop=1:bframes=3',
    'hevc_closed.mp4': f'{X265}:open-gop=0:bframes=3:b-pyramid=1',
    'live.ts': f'{X264}:bframes=3:open-gop=1',  # with its parameters at each keyframe
    'mpeg2_b.ts': '-c:v mpeg2video -bf 2 -g 8',
    'mpeg2.ts': '-c:v mpeg2video -bf 0 -g 8',
    'mpeg1.mpg': '-c:v mpeg1video -bf 2 -g 8',
    'mpeg4.avi': '-c:v mpeg4 -bf 0 -g 8',
    'mpeg4_b.avi': '-c:v mpeg4 -bf 2 -g 8',
    'packed.avi': '-c:v libxvid -bf 2 -g 8',
    'h264_b.avi': GROUPS['b'],
    'wmv.wmv': '-c:v wmv2 -g 8',
    'sorenson.flv': '-c:v flv1 -g 8',
    'theora.ogv': '-c:v libtheora -g 8',
    'vp8.webm': '-c:v libvpx -auto-alt-ref 1 -lag-in-frames 16 -g 8',
    'vp9.webm': '-c:v libvpx-vp9 -auto-alt-ref 1 -lag-in-frames 16 -g 8',
    'av1.mp4': '-c:v libsvtav1 -g 8',
    'motion.avi': '-c:v mjpeg -pix_fmt yuvj420p',
    'lossless.mkv': '-c:v ffv1',
    'palette.avi': '-c:v rawvideo -pix_fmt pal8',
    'palette.mov': '-c:v qtrle -pix_fmt pal8',
    'fragments.mp4': f'{GROUPS["b"]} -movflags frag_keyframe+empty_moov',
    'hybrid.mp4': f'{GROUPS["b"]} -movflags hybrid_fragmented',
    'vp8.ivf': '-c:v libvpx -g 8',
    'vp9.ivf': '-c:v libvpx-vp9 -g 8',
    'av1.ivf': '-c:v libaom-av1 -cpu-used 8 -g 8',
}
"""Made from frames of 48 x 32, or where the name begins with ``large_``, 80 x 48."""
ENCODED |= {f'large_{name}': ENCODED[name] for name in ('no_b.mp4', 'b.mp4', 'vp8.ivf', 'vp9.ivf', 'av1.ivf')}

COPIED = {}
"""By name, from which it is made, and how: options of ffmpeg, or a function of bytes."""
for group, suffix in product(GROUPS, ('mov', 'mkv', 'ts', 'flv', 'avi', 'h264')):
    COPIED[f'{group}.{suffix}'] = (f'{group}.mp4', '-c copy')
for kind, suffix in product(('hevc_open', 'hevc_closed'), ('mkv', 'ts', 'hevc')):
    COPIED[f'{kind}.{suffix}'] = (f'{kind}.mp4', '-c copy')
for kind, suffix in product(('mpeg2', 'mpeg2_b'), ('mpg', 'mkv', 'vob', 'avi')):
    COPIED[f'{kind}.{suffix}'] = (f'{kind}.ts', '-c copy')
for kind, suffix in product(('h264_b', 'mpeg4_b', 'packed'), ('mp4', 'mov', 'mkv')):
    COPIED[f'{kind}_from_avi.{suffix}'] = (f'{kind}.avi', f'-c copy {"-fflags +genpts" if suffix == "mkv" else ""}')
COPIED['h264_b_from_avi.h264'] = ('h264_b.avi', '-c copy')
COPIED['times_of_decoding.flv'] = ('b.mp4', '-c copy -bsf:v setts=pts=DTS')
COPIED['times_out_of_order.flv'] = ('b.mp4', '-c copy -bsf:v setts=pts=PTS+512*mod(N\\,3)')
COPIED['vp9.mp4'] = ('vp9.webm', '-c copy')
COPIED['av1.mkv'] = ('av1.mp4', '-c copy')
for kind, start in product(('no_b', 'b', 'open', 'hevc_open'), (0.1, 0.36, 0.5)):
    COPIED[f'{kind}_from_{start}.mp4'] = (f'{kind}.mp4', f'-ss {start} -c copy')
    COPIED[f'{kind}_part_from_{start}.mov'] = (f'{kind}.mp4', f'-ss {start} -c copy -t 0.3')
for kind in ('no_b', 'b'):
    COPIED[f'{kind}_begins_early.mp4'] = (f'{kind}.mp4', '-c copy -avoid_negative_ts disabled -output_ts_offset -0.3')
    COPIED[f'{kind}_negative_times.mp4'] = (
        f'{kind}.mp4',
        '-c copy -use_editlist 0 -avoid_negative_ts disabled -output_ts_offset -0.3',
    )
for kind, share in product(('b', 'live', 'mpeg2_b', 'hevc_open'), (0.15, 0.5)):
    COPIED[f'{kind}_cut_at_{share}.ts'] = (f'{kind}.ts', partial(cut, share))
for angle, mirror in product((0, 90, 180, 270), ('', '-display_hflip', '-display_vflip')):
    kind = 'b' if angle == 90 else 'no_b'
    COPIED[f'turned_{angle}{mirror}.mp4'] = (f'{kind}.mp4', f'-display_rotation {angle} {mirror} -c copy')
COPIED['turned_90.mkv'] = ('b.mp4', '-display_rotation 90 -c copy')
COPIED['large_b.ts'] = ('large_b.mp4', '-c copy')
COPIED['twice.ts'] = (('b.ts', 'open.ts'), join)

RESIZED = {'grows.ts': (('b.ts', 'large_b.ts'), join), 'shrinks.ts': (('large_b.ts', 'b.ts'), join)}
"""Those whose frames change size."""
for codec, suffix in (('vp8', 'webm'), ('vp9', 'webm'), ('vp9', 'mp4'), ('av1', 'mkv'), ('av1', 'mp4')):
    RESIZED[f'{codec}_grows.ivf'] = ((f'{codec}.ivf', f'large_{codec}.ivf'), join_ivf)
    RESIZED[f'{codec}_shrinks.ivf'] = ((f'large_{codec}.ivf', f'{codec}.ivf'), join_ivf)
    for change in ('grows', 'shrinks'):
        RESIZED[f'{codec}_{change}.{suffix}'] = (f'{codec}_{change}.ivf', '-c copy')

TURNED = {name for name in COPIED if name.startswith(('turned_90', 'turned_270'))}
CELLS = [name for name in (*ENCODED, *COPIED, *RESIZED) if not name.startswith('large_')]


@pytest.fixture(scope='module')
def cell(tmp_path_factory):
    """A function that makes a video by its name and gives its path."""
    folder = tmp_path_factory.mktemp('matrix')

    def make(name):
        path = folder / name
        if path.exists():
            return path
        if name in ENCODED:
            height, width = (48, 80) if name.startswith('large_') else (32, 48)
            return encode(path, make_frames(NUM_FRAMES, height, width), *ENCODED[name].split())
        sources, how = (COPIED | RESIZED)[name]
        sources = [make(source) for source in ([sources] if isinstance(sources, str) else sources)]
        if callable(how):
            path.write_bytes(how(*(source.read_bytes() for source in sources)))
        else:
            before, copy, after = how.partition('-c copy')
            if '+genpts' in after:
                before, after = after, ''
            run_ffmpeg(*before.split(), '-i', str(sources[0]), *copy.split(), *after.split(), str(path))
        return path

    return make


def decode(path, shape):
    """All frames as ffmpeg shows them: (T, *shape)."""
    raw = path.with_name(f'{path.name}.raw')
    each = '-map 0:v:0 -fps_mode passthrough -enc_time_base 1:1000000 -f rawvideo -pix_fmt rgb24'
    run_ffmpeg('-max_error_rate', '1', '-i', str(path), *each.split(), str(raw))
    return np.fromfile(raw, np.uint8).reshape(-1, *shape)


def test_are_enough():
    assert len(CELLS) >= 60


@pytest.mark.parametrize('name', CELLS)
def test_any_frame_is_the_one_that_ffmpeg_shows(cell, name):
    path = cell(name)
    shape = (48, 32, 3) if name in TURNED else (48, 80, 3) if 'shrinks' in name else (32, 48, 3)
    expected = decode(path, shape)
    assert len(expected) > 2

    def check(frames, numbers):
        assert len(frames) == len(numbers)
        for frame, number in zip(frames, numbers, strict=True):
            assert frame.shape == shape
            if name in RESIZED:  # versions of FFmpeg place color differently when they scale
                differences = np.abs(expected - frame.astype(np.int16)).mean((1, 2, 3))
                assert differences.argmin() == number
                assert differences[number] < 5
            else:
                assert np.array_equal(frame, expected[number]), number

    def read():
        return VideoFileReader(str(path))

    everything = range(len(expected))
    reader = read()
    assert len(reader) == len(expected)
    check(list(read()), everything)
    for number in (everything[-1], len(expected) // 2, 0):  # first of all
        check(read().get_batch([number]), [number])
    for number in reversed(everything):  # after those behind
        check(reader.get_batch([number]), [number])
    for _, frame in zip(range(3), reader):  # a pass that is broken off
        assert frame.shape == shape
    numbers = np.random.default_rng(0).integers(0, len(expected), 8).tolist()
    check(reader.get_batch(numbers), numbers)
    check(list(reader), everything)
    check(reader.get_batch(everything), everything)
