import ctypes
import gc
import multiprocessing
import os
import pickle
from itertools import product
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from mmengine.logging import MMLogger
from samples import run_ffmpeg

from mmvidmae.datasets import FrameFolderReader, VideoFileReader, VideoReadError


def write_images(folder, images):
    """Writes {name: (H, W, 3) RGB} into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, image in images.items():
        assert cv2.imwrite(str(folder / name), image[..., ::-1])
    return folder


def plain(value, height=48, width=64):
    return np.full((height, width, 3), value, np.uint8)


def decode(path):
    """All frames of a video, without seeking: (T, H, W, 3)."""
    with av.open(path) as container:
        return np.stack([frame.to_ndarray(format='rgb24') for frame in container.decode(video=0)])


def encode_noise(path, write_video, b_frames):
    """A clip of 40 frames with a keyframe every 15 and so many B-frames between others, and its frames."""
    x264 = f'scenecut=0:b-adapt=0:bframes={b_frames}'  # or x264 would take intra frames for noise
    return encode_noise_with(path, write_video, '-c:v', 'libx264', '-x264-params', x264)


def encode_noise_with(path, write_video, *options):
    """A clip of 40 frames with a keyframe every 15, encoded with options of ffmpeg, and its frames."""
    noise = np.random.default_rng(0).integers(0, 255, (40, 48, 64, 3), np.uint8)
    write_video(path, noise, options=(*options, '-g', '15'))
    return str(path), decode(str(path))


class MallocInfo(ctypes.Structure):
    """What glibc's ``mallinfo2`` returns; ``uordblks`` are the bytes in use."""

    _fields_ = [
        (name, ctypes.c_size_t)
        for name in 'arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost'.split()  # noqa: SIM905
    ]


class CountingContainer:
    """A container that counts the packets it hands out."""

    def __init__(self, container):
        self.container = container
        self.packets = 0

    def seek(self, *args, **kwargs):
        self.container.seek(*args, **kwargs)

    def demux(self, stream):
        for packet in self.container.demux(stream):
            self.packets += 1
            yield packet

    def close(self):
        self.container.close()


def _fourth_frame(path):
    return VideoFileReader(path).get_batch([3])


class TestVideoFileReader:
    @pytest.mark.parametrize('name', ['a.mp4', 'c.avi', 'd.mkv', 'f f.mp4'])
    def test_reads_the_frames_asked_for(self, video_dir, frame_number, name):
        reader = VideoFileReader(str(video_dir / name))
        last = len(reader) - 1
        indices = [0, 1, last // 2, last]
        frames = reader.get_batch(indices)
        assert frames.shape == (4, 48, 64, 3)
        assert frames.dtype == np.uint8
        assert [frame_number(frame) for frame in frames] == indices

    @pytest.mark.parametrize('suffix', ['mp4', 'mov', 'mkv', 'ts', 'avi'])  # AVI does not say when a frame is shown
    @pytest.mark.parametrize('b_frames', ['0', '3', '3:open-gop=1'])
    def test_any_frame_is_what_plain_decoding_gives(self, tmp_path, write_video, suffix, b_frames):
        """However it is reached, with frames passed over, reordered, or counted."""
        path, plainly = encode_noise(tmp_path / f'a.{suffix}', write_video, b_frames)
        reader = VideoFileReader(path)
        assert len(reader) == len(plainly) == 40
        assert np.array_equal(list(reader), plainly)
        for indices in ([39], [0, 39], [17, 4, 3, 17], [14, 15, 16, 30, 29], [7]):
            assert np.array_equal(reader.get_batch(indices), plainly[indices]), indices

    @pytest.mark.parametrize(
        ('suffix', 'options'),
        [
            ('mpg', '-c:v mpeg2video -bf 0'),
            ('vob', '-c:v mpeg2video -bf 2'),
            ('avi', '-c:v mpeg4 -vtag xvid -bf 2'),
            ('wmv', '-c:v wmv2'),
            ('webm', '-c:v libvpx -auto-alt-ref 1 -lag-in-frames 16'),
        ],
    )
    def test_any_frame_of_other_containers(self, tmp_path, write_video, suffix, options):
        path, plainly = encode_noise_with(tmp_path / f'a.{suffix}', write_video, *options.split())
        reader = VideoFileReader(path)
        assert len(reader) == len(plainly) == 40
        for number, frame in enumerate(plainly):
            assert np.array_equal(reader.get_batch([number])[0], frame), number

    def test_any_frame_of_a_cut_clip(self, tmp_path, write_video):
        """An edit list hides the frames between the keyframe and the cut."""
        whole, _ = encode_noise(tmp_path / 'whole.mp4', write_video, '3')
        path = str(tmp_path / 'cut.mp4')
        run_ffmpeg('-ss', '0.3', '-i', whole, '-c', 'copy', path)
        plainly = decode(path)
        reader = VideoFileReader(path)
        assert len(reader) == len(plainly) < 40
        for number, frame in enumerate(plainly):
            assert np.array_equal(reader.get_batch([number])[0], frame), number

    @pytest.mark.parametrize('times', ['DTS+1024', 'DTS+if(gt(N\\,20)\\,1024\\,0)'])
    def test_any_frame_where_the_times_of_decoding_and_showing_differ_unannounced(self, tmp_path, write_video, times):
        """MP4's index has the times of decoding only, and searching by those of showing can lead too far."""
        plain, _ = encode_noise(tmp_path / 'plain.mp4', write_video, '0')
        path = str(tmp_path / 'shifted.mp4')
        run_ffmpeg('-i', plain, '-c', 'copy', '-bsf:v', f'setts=pts={times}', path)
        reader = VideoFileReader(path)
        plainly = decode(path)
        assert len(reader) == len(plainly) == 40
        for number in (39, 31, 21, 20, 0):
            assert np.array_equal(VideoFileReader(path).get_batch([number])[0], plainly[number]), number
        assert np.array_equal(reader.get_batch([39, 5, 30]), plainly[[39, 5, 30]])
        assert np.array_equal(list(VideoFileReader(path)), plainly)

    @pytest.mark.parametrize(
        ('suffix', 'b_frames'),
        [*product(('mp4', 'mov', 'mkv', 'ts'), ('0', '3')), ('avi', '0')],  # AVI's B-frames are counted from the start
    )
    def test_decodes_from_the_last_keyframe_on(self, tmp_path, write_video, suffix, b_frames):
        path, _ = encode_noise(tmp_path / f'a.{suffix}', write_video, b_frames)
        reader = VideoFileReader(path)
        reader._video._container = container = CountingContainer(reader._video._container)
        reader.get_batch([31])  # the second frame after a keyframe
        assert container.packets <= 10, 'five and what the decoder holds back; the 15 before them are not needed'

    def test_a_cover_in_front_is_not_the_video(self, tmp_path, write_video):
        video, frames = encode_noise(tmp_path / 'video.mp4', write_video, '0')
        cover, path = str(write_video(tmp_path / 'cover.mp4', 1)), str(tmp_path / 'both.mkv')
        run_ffmpeg('-i', cover, '-i', video, '-map', '0', '-map', '1', '-c', 'copy', path)
        reader = VideoFileReader(path)
        assert len(reader) == len(frames)
        assert np.array_equal(reader.get_batch([17])[0], frames[17])

    @pytest.mark.parametrize('suffix', ['mp4', 'ts'])
    def test_memory_stays_flat(self, tmp_path, write_video, suffix):
        """A reader that is given up in mid-file leaves nothing behind in the C heap, nor an open file. The second file
        begins with packets that cannot be decoded; its frames are counted."""
        heap = ctypes.CDLL(None)
        if not hasattr(heap, 'mallinfo2'):
            pytest.skip('needs glibc')
        heap.mallinfo2.restype = MallocInfo
        path = write_video(tmp_path / f'a.{suffix}', 16, options=('-g', '4'))
        if suffix == 'ts':
            path.write_bytes(path.read_bytes()[188 * 20 :])

        def in_use_after(reads):
            for _ in range(reads):
                VideoFileReader(str(path)).get_batch([1, 3])
            gc.collect()
            return heap.mallinfo2().uordblks

        before, files = in_use_after(200), os.listdir('/proc/self/fd')
        assert in_use_after(500) - before < 500 * 50, 'a packet takes 150 bytes'
        assert os.listdir('/proc/self/fd') == files

    def test_in_a_forked_process_after_reading_in_this_one(self, video_dir):
        paths = [str(video_dir / name) for name in ('a.mp4', 'c.avi')]
        expected = [VideoFileReader(path).get_batch([3]) for path in paths]
        with multiprocessing.get_context('fork').Pool(1) as pool:
            actual = pool.map_async(_fourth_frame, paths).get(timeout=60)
        assert all(np.array_equal(a, b) for a, b in zip(actual, expected, strict=True))

    def test_is_rgb(self, tmp_path, write_video):
        red = np.zeros((3, 48, 64, 3), np.uint8)
        red[..., 0] = 255
        frame = VideoFileReader(str(write_video(tmp_path / 'red.mp4', red))).get_batch([1])[0]
        assert frame[..., 0].min() > 240
        assert frame[..., 1:].max() < 15

    def test_one_frame(self, tmp_path, write_video):
        reader = VideoFileReader(str(write_video(tmp_path / 'one.mp4', 1)))
        assert len(reader) == 1
        assert reader.get_batch([0]).shape == (1, 48, 64, 3)

    @pytest.mark.parametrize('suffix', ['avi', 'mp4', 'mov', 'mkv', 'flv', 'wmv', 'ts'])
    def test_tags_need_not_be_utf_8(self, tmp_path, write_video, suffix):
        tags = '-metadata title=QQQQ -metadata:s:v title=QQQQ -metadata:s:v handler_name=QQQQ -metadata comment=QQQQ'
        path = write_video(tmp_path / f'a.{suffix}', 8, options=tags.split())
        data = path.read_bytes().replace('QQQQ'.encode('utf-16-le'), b'\0\xd8' * 4)  # WMV's tags: half of a pair
        path.write_bytes(data.replace(b'QQQQ', 'Ñýàü'.encode('cp1252')))
        assert data != path.read_bytes() or suffix in ('wmv', 'ts')
        assert len(list(VideoFileReader(str(path)))) == 8

    @pytest.mark.parametrize('name', ['12:30.mp4', 'http:clip.mp4', 'concat:a|b.mp4', os.fsdecode(b'caf\xe9.mp4')])
    def test_any_name_is_a_file(self, tmp_path, write_video, monkeypatch, name):
        write_video(tmp_path / 'plain.mp4', 8).rename(tmp_path / name)
        monkeypatch.chdir(tmp_path)
        for path in (name, str(tmp_path / name)):
            assert len(VideoFileReader(path)) == 8

    def test_codec_without_a_decoder(self, tmp_path, write_video):
        path = write_video(tmp_path / 'a.mp4', 8)
        path.write_bytes(path.read_bytes().replace(b'avc1', b'zzz1'))
        with pytest.raises(VideoReadError, match=r'a\.mp4: not a readable video \(there is no decoder for it\)'):
            VideoFileReader(str(path))

    def test_stream_that_appears_in_mid_file(self, tmp_path, write_video):
        """PyAV then fails at the end of the file, depending on what is in its memory."""
        path, plainly = encode_noise(tmp_path / 'a.ts', write_video, '0')
        data = bytearray(Path(path).read_bytes())
        tables = [place for place in range(0, len(data), 188) if data[place + 1 : place + 3] == b'\x50\0']
        place = data.index(b'\x1b\xe1\0', tables[len(tables) // 2])  # H.264 is in the packets number 0x100
        data[place + 2] = 1
        Path(path).write_bytes(data)
        reader = VideoFileReader(path)
        assert np.array_equal(list(reader), plainly)
        assert np.array_equal(reader.get_batch([39, 3]), plainly[[39, 3]])

    def test_header_that_asks_for_giant_frames(self, tmp_path, write_video):
        path = write_video(tmp_path / 'a.ivf', 8, options=('-c:v', 'libvpx'))
        data = path.read_bytes()
        assert data.count(b'\x9d\x01\x2a') == 1  # what comes before width and height in a keyframe of VP8
        path.write_bytes(data.replace(b'\x9d\x01\x2a\x40\0\x30\0', b'\x9d\x01\x2a\xff\x3f\xff\x3f'))
        with pytest.raises(VideoReadError):
            VideoFileReader(str(path)).get_batch([0])

    def test_tells_once_that_the_size_changes(self, tmp_path, write_video):
        parts = [write_video(tmp_path / f'{height}.ts', 8, height, height) for height in (48, 64)]
        path = tmp_path / 'grows.ts'
        path.write_bytes(b''.join(part.read_bytes() for part in parts))
        log = tmp_path / 'log.txt'
        MMLogger.get_instance('changes', log_file=str(log))
        for _ in range(2):
            frames = list(VideoFileReader(str(path)))
            assert {frame.shape for frame in frames} == {(48, 48, 3)}
        assert log.read_text().count('its frames change size; all are scaled to that of the first') == 1

    def test_bad_clip(self, unopenable):
        with pytest.raises(VideoReadError) as caught:
            VideoFileReader(str(unopenable))
        assert caught.value.path == str(unopenable)
        reason = {'missing.mp4': 'No such file', 'empty.mp4': 'the file is empty'}
        assert reason.get(unopenable.name, 'not a readable video') in caught.value.reason
        assert 'workspace' not in caught.value.reason, "the decoder's source positions say nothing to a user"

    def test_error_in_mid_file(self, bad_clips):
        reader = VideoFileReader(str(bad_clips / 'damaged.mp4'))
        assert len(reader) == 40
        with pytest.raises(VideoReadError, match=r'damaged\.mp4: cannot decode frames 38 to 39'):
            reader.get_batch([38, 39])

    def test_frames_before_an_error_come(self, bad_clips):
        frames = []
        with pytest.raises(VideoReadError, match=r'damaged\.mp4: cannot decode frames \d+ to 39'):
            frames.extend(iter(VideoFileReader(str(bad_clips / 'damaged.mp4'))))
        assert 5 < len(frames) < 39

    def test_goes_on_after_a_pass_that_was_broken_off(self, video_dir):
        reader = VideoFileReader(str(video_dir / 'a.mp4'))
        expected = reader.get_batch([0, 7])
        for _, frame in zip(range(1), reader):
            assert np.array_equal(frame, expected[0])
        assert np.array_equal(reader.get_batch([0, 7]), expected)

    def test_folder_in_place_of_a_file(self, tmp_path):
        with pytest.raises(VideoReadError):
            VideoFileReader(str(tmp_path))


class TestFrameFolderReader:
    def test_natural_order_and_rgb(self, tmp_path):
        images = {f'img{i}.png': plain((i, 100, 200)) for i in (1, 2, 10)}
        folder = write_images(tmp_path / 'clip', images)
        (folder / '.hidden.png').write_text('not an image')
        (folder / 'groundtruth.txt').write_text('1,2,3,4')
        reader = FrameFolderReader(str(folder))
        assert len(reader) == 3
        frames = reader.get_batch([0, 1, 2])
        assert frames.shape == (3, 48, 64, 3)
        assert frames[:, 0, 0].tolist() == [[1, 100, 200], [2, 100, 200], [10, 100, 200]]
        assert np.array_equal(list(reader), frames)

    def test_no_images(self, tmp_path):
        with pytest.raises(VideoReadError, match='holds no images'):
            FrameFolderReader(str(tmp_path))

    def test_missing(self, tmp_path):
        with pytest.raises(VideoReadError, match='No such file'):
            FrameFolderReader(str(tmp_path / 'nowhere'))

    @pytest.mark.parametrize('content', [b'', b'no image', None], ids=['empty', 'text', 'cut off'])
    @pytest.mark.parametrize('suffix', ['jpg', 'png'])
    def test_bad_image(self, tmp_path, content, suffix):
        noise = np.random.default_rng(0).integers(0, 255, (48, 64, 3), np.uint8)
        folder = write_images(tmp_path / 'clip', {f'{i}.{suffix}': noise for i in range(2)})
        bad = folder / f'1.{suffix}'
        bad.write_bytes(bad.read_bytes()[: bad.stat().st_size // 2] if content is None else content)
        reader = FrameFolderReader(str(folder))
        assert reader.get_batch([0]).shape == (1, 48, 64, 3)
        with pytest.raises(VideoReadError, match=rf'clip: 1\.{suffix} is no readable image'):
            reader.get_batch([0, 1])

    def test_sizes_differ(self, tmp_path):
        folder = write_images(tmp_path / 'clip', {'0.png': plain(0), '1.png': plain(0, 32, 32)})
        with pytest.raises(VideoReadError, match=r'differ in size: 0\.png 64x48, 1\.png 32x32'):
            FrameFolderReader(str(folder)).get_batch([0, 1])
        with pytest.raises(VideoReadError, match=r'differ in size: 0\.png 64x48, 1\.png 32x32'):
            list(FrameFolderReader(str(folder)))


def test_unreadable_clip_survives_the_way_out_of_a_worker():
    error = pickle.loads(pickle.dumps(VideoReadError('a.mp4', 'the file is empty')))
    assert (error.path, error.reason, str(error)) == ('a.mp4', 'the file is empty', 'a.mp4: the file is empty')
