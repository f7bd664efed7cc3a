"""Windows of long videos: the reader, and the dataset whose clips they are."""

import math
import os
import shutil

import numpy as np
import pytest
from samples import encode, run_ffmpeg
from test_reader_damage import KINDS, damage

from mmvidmae.datasets import VideoFileReader, VideoReadError, VideoWindowDataset, VideoWindowReader, readers
from mmvidmae.datasets.readers import video_seconds
from mmvidmae.datasets.window_dataset import read_durations

PIPELINE = [
    dict(type='mmvidmae.SampleFramePairs', gap=(1, 9), draw_first='start'),
    dict(type='mmvidmae.LoadFramePairs'),
    dict(type='mmvidmae.PackPairs'),
]
TIMED = [kind for kind in KINDS if kind != 'raw.h264']


def brightening(num_frames: int) -> np.ndarray:
    """Noise that gets brighter, 25 frames a second."""
    frames = np.random.default_rng(0).integers(0, 64, (num_frames, 48, 64, 3), np.uint8)
    return frames + np.linspace(0, 190, num_frames).astype(np.uint8)[:, None, None, None]


@pytest.fixture(scope='module')
def videos(tmp_path_factory):
    """A video of 3 seconds of each kind, with a keyframe every 13 frames."""
    folder, frames = tmp_path_factory.mktemp('kinds'), brightening(75)
    for name in TIMED:
        encode(folder / name, frames, '-g', '13', *KINDS[name].split())
    noisy = encode(
        folder / 'noisy.mp4', frames, *['-c:v', 'libx264', '-x264-params', 'scenecut=0:b-adapt=0:bframes=3', '-g', '20']
    )
    run_ffmpeg('-ss', '0.3', '-i', str(noisy), '-c', 'copy', str(folder / 'cut.mp4'))  # with an edit list
    run_ffmpeg('-itsoffset', '7', '-i', str(noisy), '-c', 'copy', str(folder / 'late.mkv'))
    return folder


def windows_of(path: str, seconds: float) -> list[VideoWindowReader]:
    number = max(1, int(video_seconds(path) // seconds))
    ends = [*(seconds * (place + 1) for place in range(number - 1)), math.inf]
    return [VideoWindowReader(path, seconds * place, end) for place, end in enumerate(ends)]


@pytest.mark.parametrize('kind', [*TIMED, 'noisy.mp4', 'cut.mp4', 'late.mkv'])
def test_windows_together_have_the_frames_of_the_file(videos, kind):
    path = str(videos / kind)
    whole = np.stack(list(VideoFileReader(path)))
    for seconds in (0.7, 1.3):
        readers_ = windows_of(path, seconds)
        assert len(readers_) > 1
        parts = []
        for reader in readers_:
            parts.append(np.stack(list(reader)))
            some = [len(reader) - 1, 0, len(reader) // 2, 0]
            assert np.array_equal(reader.get_batch(some), parts[-1][some])
        assert np.array_equal(np.concatenate(parts), whole)


def test_a_window_reads_its_own_packets_only(tmp_path, monkeypatch):
    path = str(encode(tmp_path / 'v.mp4', brightening(500), *['-c:v', 'libx264', '-bf', '0', '-g', '25']))
    reader = VideoWindowReader(path, 10, 11)
    sizes, whole = [], readers._OpenVideo.packets

    def counted(video):
        for packet in whole(video):
            sizes.append(packet.size)
            yield packet

    monkeypatch.setattr(readers._OpenVideo, 'packets', counted)
    assert len(VideoWindowReader(path, 10, 11)) == 25
    assert len(sizes) <= 25 + 2
    sizes.clear()
    reader.get_batch([24])
    assert len(sizes) <= 25 + 2


@pytest.mark.parametrize(('start', 'stop'), [(50, 60), (3.0, math.inf)])
def test_a_window_after_the_end_shows_nothing(videos, start, stop):
    with pytest.raises(VideoReadError, match='shows none of its frames') as error:
        VideoWindowReader(str(videos / 'noisy.mp4'), start, stop)
    assert '#t=' in error.value.path


def test_a_video_without_times_has_no_windows(tmp_path):
    path = str(encode(tmp_path / 'raw.h264', brightening(20), '-c:v', 'libx264'))
    assert video_seconds(path) == 0
    with pytest.raises(VideoReadError, match='no times'):
        VideoWindowReader(path, 0, math.inf)


@pytest.mark.parametrize('kind', ['index_first.mp4', 'vp9.webm', 'h264.ts', 'mpeg2.mpg', 'b_frames.avi'])
def test_damage_raises_the_readers_error_only(videos, tmp_path, kind):
    rng = np.random.default_rng(list(kind.encode()))
    data, failures = (videos / kind).read_bytes(), []
    path = tmp_path / kind
    for _ in range(30):
        path.write_bytes(damage(data, data, rng))
        try:
            reader = VideoWindowReader(str(path), 1, 2)
            reader.get_batch([len(reader) - 1, 0])
        except VideoReadError as failure:
            failures.append(failure.path)
    assert set(failures) == {f'{path}#t=1,2'}


class TestDataset:
    @pytest.fixture
    def folder(self, tmp_path):
        encode(tmp_path / 'a.mp4', brightening(80))
        encode(tmp_path / 'b.mkv', brightening(30))
        encode(tmp_path / 'c.mp4', brightening(6))
        (tmp_path / 'd.mp4').write_bytes(b'no video')
        return tmp_path

    def make(self, folder, **kwargs):
        return VideoWindowDataset(data_root=str(folder), pipeline=PIPELINE, window=1, **kwargs)

    def test_clips_are_windows(self, folder):
        dataset = self.make(folder)
        names = [os.path.basename(dataset.get_data_info(i)['video_path']) for i in range(len(dataset))]
        assert names == ['a.mp4#t=0,1', 'a.mp4#t=1,2', 'a.mp4#t=2', 'b.mkv#t=0', 'c.mp4#t=0']
        (sample,) = dataset[2]['data_samples']
        assert sample.video_path.endswith('a.mp4#t=2')
        assert max(sample.frame_ids) < 30
        assert self.make(folder, indices=[4, 0]).get_data_info(0)['video_path'].endswith('c.mp4#t=0')
        assert len(self.make(folder, indices=3)) == 3

    def test_what_cannot_be_opened_is_left_out_and_logged(self, folder, caplog):
        paths = [str(folder / name) for name in ('a.mp4', 'd.mp4', 'missing.mp4')]
        assert read_durations(paths).keys() == {paths[0]}
        (folder / 'only').mkdir()
        shutil.copy(folder / 'd.mp4', folder / 'only')
        with pytest.raises(ValueError, match='none of the 1 videos can be opened'):
            self.make(folder / 'only')

    def test_durations_are_read_again_when_a_file_has_changed(self, folder, monkeypatch):
        paths = [str(folder / name) for name in ('a.mp4', 'b.mkv')]
        first = read_durations(paths)
        assert first[paths[0]] == pytest.approx(3.2)
        calls = []
        monkeypatch.setattr(
            'mmvidmae.datasets.window_dataset.video_seconds', lambda path: calls.append(path) or video_seconds(path)
        )
        assert read_durations(paths) == first
        assert not calls
        encode(folder / 'b.mkv', brightening(50))
        assert read_durations(paths)[paths[1]] == pytest.approx(2, abs=0.1)
        assert calls == paths[1:]

    def test_a_damaged_window_is_replaced(self, folder):
        path = folder / 'a.mp4'
        dataset = self.make(folder)
        encode(path, brightening(40))  # now shorter than was listed
        (sample,) = dataset[2]['data_samples']
        ((skipped, reason),) = sample.skipped
        assert skipped == f'{path}#t=2'
        assert 'none of its frames' in reason

    @pytest.mark.parametrize('kwargs', [dict(window=0), dict(window=math.nan), dict(threads=0)])
    def test_bad_arguments(self, folder, kwargs):
        with pytest.raises(ValueError, match='must be above 0'):
            VideoWindowDataset(data_root=str(folder), pipeline=PIPELINE, **kwargs)
