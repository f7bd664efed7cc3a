"""The tools in tools/dataset_converters, run as users run them."""

import importlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import av
import imageio_ffmpeg
import numpy as np
import pytest
from PIL import Image
from samples import run_ffmpeg

from mmvidmae.datasets import FrameFolderReader, FramePairDataset, VideoFileReader, VideoPairDataset
from mmvidmae.datasets.sources import read_list

ROOT = Path(__file__).parents[2]
TOOLS = ROOT / 'tools/dataset_converters'


def start(tool, *args, **env):
    """Starts a tool in a process, and a group, of its own."""
    env = {**os.environ, 'PYTHONPATH': str(ROOT), **env}
    command = [sys.executable, str(TOOLS / f'{tool}.py'), *map(str, args)]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env, start_new_session=True
    )


def test_interrupted_while_a_process_starts(monkeypatch):
    """A process that is not there yet when the others are ended is ended, too."""
    monkeypatch.syspath_prepend(TOOLS)
    import common

    class Job:
        ended, stops, outcomes = threading.Event(), 0, []

        def __call__(self, path):
            if path == 'starting':
                self.outcomes.append(self.ended.wait(20))

        def stop(self):
            self.stops += 1
            if self.stops == 3:
                self.ended.set()

    results = common.run_all(Job(), ['starting', 'short'], workers=2)
    assert next(results) == ('short', None)
    results.close()
    assert Job.outcomes == [True]


def run_process(tool, *args):
    """Runs a tool in a process of its own; gives its exit code, stdout and stderr."""
    process = start(tool, *args)
    out, err = process.communicate(timeout=120)
    return process.returncode, out, err


@pytest.fixture
def run(monkeypatch, capsys):
    """As ``run_process``, but in this process, which need not import everything again."""
    monkeypatch.syspath_prepend(TOOLS)

    def run(tool, *args):
        try:
            code = importlib.import_module(tool).main(list(map(str, args)))
        except SystemExit as exit:
            code = exit.code
        return code, *capsys.readouterr()

    return run


@pytest.fixture
def changing_size(tmp_path, write_video):
    """A folder with a clip whose frames are 64 x 48 and then 96 x 64."""
    parts = [
        write_video(tmp_path / f'{width}.ts', 10, height, width, options=('-output_ts_offset', offset))
        for height, width, offset in ((48, 64, '0'), (64, 96, '0.4'))
    ]
    (tmp_path / 'changing').mkdir()
    (tmp_path / 'changing/a.ts').write_bytes(b''.join(part.read_bytes() for part in parts))
    return tmp_path / 'changing'


def assert_same(path, frames):
    """Checks that a video shows these frames (T, H, W, 3), up to its compression."""
    reader = VideoFileReader(str(path))
    assert len(reader) == len(frames)
    read = reader.get_batch(range(len(frames)))
    assert read.shape == frames.shape
    assert np.abs(read - frames.astype(int)).mean() < 6


class TestMakeList:
    @pytest.fixture
    def tree(self, tmp_path, video_dir):
        for name in ('running/x.mp4', 'riding a bike/y 2.mp4', 'riding a bike/y 10.mp4', 'top.mp4'):
            (tmp_path / 'tree' / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(video_dir / 'a.mp4', tmp_path / 'tree' / name)
        return tmp_path / 'tree'

    def test_relative(self, tree, tmp_path):
        assert run_process('make_list', tree, tmp_path / 'out/list.txt', '--relative')[0] == 0
        lines = (tmp_path / 'out/list.txt').read_text().splitlines()
        assert lines == ['riding a bike/y 2.mp4 0', 'riding a bike/y 10.mp4 0', 'running/x.mp4 1', 'top.mp4']
        assert [file.name for file in (tmp_path / 'out').iterdir()] == ['list.txt']
        dataset = VideoPairDataset(ann_file=str(tmp_path / 'out/list.txt'), data_prefix=dict(video=str(tree)))
        assert [len(VideoFileReader(dataset.get_data_info(i)['video_path'])) for i in range(4)] == [12] * 4

    def test_absolute(self, run, tree, tmp_path):
        assert run('make_list', tree, tmp_path / 'list.txt')[0] == 0
        assert all(
            Path(path).is_absolute() and Path(path).exists() for path in read_list(str(tmp_path / 'list.txt'), 'video')
        )

    def test_frames(self, run, tmp_path):
        for sequence in ('a/img', 'b/img'):
            (tmp_path / 'root' / sequence).mkdir(parents=True)
            (tmp_path / 'root' / sequence / '1.jpg').touch()
        assert run('make_list', tmp_path / 'root', tmp_path / 'list.txt', '--relative', '--frames')[0] == 0
        assert (tmp_path / 'list.txt').read_text() == 'a/img 0\nb/img 1\n'
        with pytest.raises(ValueError, match='no readable clip among 2'):
            FramePairDataset(ann_file=str(tmp_path / 'list.txt'), data_prefix=dict(img=str(tmp_path / 'root')))

    def test_images(self, run, tmp_path):
        for name in ('n01/1.JPEG', 'n02/2.JPEG', 'n02/10.JPEG'):
            (tmp_path / 'root' / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / 'root' / name).touch()
        assert run('make_list', tmp_path / 'root', tmp_path / 'list.txt', '--relative', '--images')[0] == 0
        assert (tmp_path / 'list.txt').read_text() == 'n01/1.JPEG 0\nn02/2.JPEG 1\nn02/10.JPEG 1\n'

    @pytest.mark.parametrize('name', ['seq 12/1.jpg', '#seq/1.jpg', 'seq\r12/1.jpg', 'seq,12/1.jpg', '"seq"/1.jpg'])
    def test_name_that_a_list_cannot_hold(self, run, tmp_path, name):
        (tmp_path / 'root' / name).parent.mkdir(parents=True)
        (tmp_path / 'root' / name).touch()
        code, _, err = run('make_list', tmp_path / 'root', tmp_path / 'list.txt', '--relative', '--frames')
        assert code == 2
        assert 'rename it' in err
        assert not (tmp_path / 'list.txt').exists()

    def test_nothing_there(self, run, tmp_path):
        assert 'no clips below' in run('make_list', tmp_path, tmp_path / 'list.txt')[2]
        assert 'no clips below' in run('make_list', tmp_path, tmp_path / 'list.txt', '--images')[2]
        assert 'There is no folder' in run('make_list', tmp_path / 'nowhere', tmp_path / 'list.txt')[2]


class TestVerify:
    @pytest.fixture
    def clips(self, tmp_path, video_dir, bad_clips):
        shutil.copytree(video_dir, tmp_path / 'clips')
        for name in ('empty.mp4', 'text.mp4', 'damaged.mp4'):
            shutil.copy(bad_clips / name, tmp_path / 'clips')
        return tmp_path / 'clips'

    @pytest.mark.slow
    def test_reports_bad_clips_and_resumes(self, run, clips, tmp_path, video_dir):
        report = tmp_path / 'out/report.jsonl'
        code, out, err = run_process('verify_videos', clips, '--report', report)
        assert code == 1
        assert '6 of 9 clips can be read, 3 failed' in out
        assert '9/9, 3 failed' in err
        assert f'{clips}/empty.mp4: the file is empty' in out
        entries = {Path(e['path']).name: e['error'] for e in map(json.loads, report.read_text().splitlines())}
        assert {name for name, error in entries.items() if error} == {'empty.mp4', 'text.mp4', 'damaged.mp4'}

        with open(report, 'a') as file:
            file.write('{"path": "cut off by a ki')
        (clips / 'a.mp4').write_text('no longer a video, but it was good and is not read again')
        for name in ('empty.mp4', 'text.mp4', 'damaged.mp4'):
            shutil.copy(video_dir / 'b.mp4', clips / name)
        code, out, _ = run('verify_videos', clips, '--report', report)
        assert code == 0
        assert '6 clips are good according to' in out
        assert '9 of 9 clips can be read' in out
        assert run('verify_videos', clips, '--report', report)[0] == 0

    def test_frames_that_change_size(self, run, changing_size, tmp_path):
        code, out, _ = run('verify_videos', changing_size, '--report', tmp_path / 'report.jsonl')
        assert code == 0
        assert f'{changing_size}/a.ts: good, but its frames change size' in out
        assert '1 of 1 clips can be read, 0 failed\n1 of them with a note' in out
        entry = json.loads((tmp_path / 'report.jsonl').read_text())
        assert entry['error'] is None
        assert 'change size' in entry['note']

    def test_list(self, run, clips, tmp_path):
        (tmp_path / 'list.txt').write_text('f f.mp4 0\nmissing.mp4 1\n')
        report = tmp_path / 'report.jsonl'
        code, out, _ = run('verify_videos', tmp_path / 'list.txt', '--data-root', clips, '--report', report, '--quick')
        assert code == 1
        assert f'{clips}/missing.mp4: No such file' in out
        assert '1 of 2 clips can be read' in out

    def test_malformed_list(self, run, tmp_path):
        (tmp_path / 'list.txt').write_text('a.mp4,running\n')
        code, _, err = run('verify_videos', tmp_path / 'list.txt', '--report', tmp_path / 'report.jsonl')
        assert code == 2
        assert 'list.txt:1' in err

    def test_decoder_that_hangs(self, run, clips, tmp_path):
        # No decoder is done in no time: all count as hung, and the tool ends all the same.
        args = ('--report', tmp_path / 'report.jsonl', '--timeout', '0', '--workers', '2')
        code, out, _ = run('verify_videos', clips, *args)
        assert code == 1
        assert out.count('no result after 0 s') == 9

    def test_decoder_that_dies(self, clips, monkeypatch):
        monkeypatch.syspath_prepend(TOOLS)
        from verify_videos import Decoder

        decoder = Decoder(quick=True, timeout=60)
        path = str(clips / 'b.mp4')
        assert decoder(path) is None
        decoder.aside.processes[0].kill()
        decoder.aside.processes[0].join()
        assert 'crashed' in decoder(path)
        assert decoder(path) is None, 'another process has taken over'
        decoder.stop()


class TestResize:
    @pytest.fixture
    def originals(self, tmp_path, write_video):
        root = tmp_path / 'originals'
        write_video(root / 'wide/a.mp4', 20, 96, 128)
        write_video(root / 'wide/b b.avi', 20, 128, 96, seed=1)
        write_video(root / 'small.mkv', 20, 48, 64, seed=2)
        return root

    def test_results(self, run, originals, tmp_path):
        target = tmp_path / 'small'
        code, out, err = run('resize_videos', originals, target, '--short-side', '64')
        assert (code, out) == (0, f'3 of 3 clips are in {target}, 0 failed\n')
        assert '3/3, 0 failed' in err
        assert sorted(str(file.relative_to(target)) for file in target.rglob('*.*')) == [
            'small.mp4',
            'wide/a.mp4',
            'wide/b b.mp4',
        ]
        for name, source, shape in (
            ('wide/a.mp4', 'wide/a.mp4', (64, 86, 3)),
            ('wide/b b.mp4', 'wide/b b.avi', (86, 64, 3)),
            ('small.mp4', 'small.mkv', (48, 64, 3)),
        ):
            reader = VideoFileReader(str(target / name))
            assert len(reader) == 20
            assert reader.get_batch([0])[0].shape == shape, 'never upscaled, even'
            with av.open(str(target / name)) as container:
                keys = [packet.is_keyframe for packet in container.demux(video=0) if packet.size]
            assert [number for number, is_key in enumerate(keys) if is_key] == [0, 8, 16]
            original = VideoFileReader(str(originals / source)).get_batch(range(20))
            ours = reader.get_batch(range(20))
            assert np.abs(original.mean((1, 2)) - ours.mean((1, 2))).max() < 6, 'the same pictures in the same order'

    def test_resumes(self, run, originals, tmp_path):
        target = tmp_path / 'small'
        run('resize_videos', originals, target)
        before = {file: file.stat().st_mtime_ns for file in target.rglob('*.mp4')}
        (target / 'small.mp4').unlink()
        code, out, _ = run('resize_videos', originals, target)
        assert code == 0
        assert '2 clips exist already' in out
        after = {file: file.stat().st_mtime_ns for file in target.rglob('*.mp4')}
        assert after.keys() == before.keys()
        assert {file for file in after if after[file] != before[file]} == {target / 'small.mp4'}

    @pytest.mark.parametrize('flags', [(), ('-disposition:v:0', 'attached_pic')], ids=['plain', 'attached'])
    def test_a_cover_is_not_the_video(self, run, tmp_path, write_video, flags):
        """Larger than the video, and in front."""
        video = write_video(tmp_path / 'video.mp4', 20)
        Image.fromarray(np.full((96, 128, 3), 200, np.uint8)).save(tmp_path / 'cover.png')
        (tmp_path / 'in').mkdir()
        options = ('-map', '0', '-map', '1', '-c:v:0', 'mjpeg', '-c:v:1', 'copy', *flags)
        run_ffmpeg('-i', str(tmp_path / 'cover.png'), '-i', str(video), *options, str(tmp_path / 'in/both.mkv'))
        assert run('resize_videos', tmp_path / 'in', tmp_path / 'out')[0] == 0
        assert_same(tmp_path / 'out/both.mp4', VideoFileReader(str(tmp_path / 'in/both.mkv')).get_batch(range(20)))

    def test_names(self, run, tmp_path, video_dir, monkeypatch):
        names = [b'12:30.mp4', b'-x.mp4', b'caf\xe9.mp4', b'100%.mp4', b"it's [1].mp4", b'a\nb.mp4']
        (tmp_path / 'in').mkdir()
        for name in names:
            shutil.copy(video_dir / 'a.mp4', os.fsencode(tmp_path / 'in') + b'/' + name)
        monkeypatch.chdir(tmp_path / 'in')
        code, out, _ = run('resize_videos', '.', '../out')
        assert (code, out) == (0, '6 of 6 clips are in ../out, 0 failed\n')
        assert sorted(os.listdir(b'../out')) == sorted(names)

    def test_tags_in_another_encoding(self, run, tmp_path, write_video):
        for suffix in ('avi', 'mp4', 'mkv'):
            path = write_video(tmp_path / f'in/{suffix}/a.{suffix}', 8, options=('-metadata', 'title=Stra~e'))
            path.write_bytes(path.read_bytes().replace(b'Stra~e', b'Stra\xdfe'))
        assert run('resize_videos', tmp_path / 'in', tmp_path / 'out')[:2] == (
            0,
            f'3 of 3 clips are in {tmp_path / "out"}, 0 failed\n',
        )
        code, out, _ = run('verify_videos', tmp_path / 'in', '--report', tmp_path / 'report.jsonl')
        assert (code, out) == (0, '3 of 3 clips can be read, 0 failed\n')

    def test_upright(self, run, tmp_path, write_video):
        video = write_video(tmp_path / 'video.mp4', 8)
        (tmp_path / 'in').mkdir()
        run_ffmpeg('-display_rotation', '-90', '-i', str(video), '-c', 'copy', str(tmp_path / 'in/a.mp4'))
        assert run('resize_videos', tmp_path / 'in', tmp_path / 'out')[0] == 0
        assert_same(tmp_path / 'out/a.mp4', np.rot90(VideoFileReader(str(video)).get_batch(range(8)), -1, (1, 2)))

    def test_palette(self, run, tmp_path, write_video):
        video = write_video(tmp_path / 'video.mp4', 8)
        (tmp_path / 'in').mkdir()
        run_ffmpeg('-i', str(video), '-pix_fmt', 'pal8', '-c:v', 'rawvideo', str(tmp_path / 'in/a.avi'))
        assert run('resize_videos', tmp_path / 'in', tmp_path / 'out')[0] == 0
        result = VideoFileReader(str(tmp_path / 'out/a.mp4')).get_batch([0, 7])
        assert np.abs(result - VideoFileReader(str(video)).get_batch([0, 7]).astype(int)).mean() < 20

    def test_frames_that_change_size(self, run, changing_size, tmp_path):
        assert run('resize_videos', changing_size, tmp_path / 'out', '--short-side', '32')[0] == 0
        reader, original = (VideoFileReader(str(path)) for path in (tmp_path / 'out/a.mp4', changing_size / 'a.ts'))
        assert len(reader) == len(original) > 15
        assert reader.get_batch([0, len(reader) - 1]).shape == (2, 32, 42, 3)

    def test_no_frame_is_left_out(self, run, tmp_path, write_video):
        """Though the times say that some are shown at once."""
        video = write_video(tmp_path / 'video.mp4', 20, options=('-bf', '0'))
        (tmp_path / 'in').mkdir()
        setts = ('-bsf:v', 'setts=ts=if(gt(N\\,10)\\,TS-5*512\\,TS)')
        run_ffmpeg('-i', str(video), '-c', 'copy', *setts, str(tmp_path / 'in/a.mkv'))
        assert run('resize_videos', tmp_path / 'in', tmp_path / 'out')[0] == 0
        assert_same(tmp_path / 'out/a.mp4', VideoFileReader(str(video)).get_batch(range(20)))

    def test_odd_size_and_sound(self, run, tmp_path, write_video, bad_clips):
        video = write_video(tmp_path / 'silent.mkv', 10, 48, 64)
        ffmpeg = imageio_ffmpeg.get_ffmpeg_exe()
        (tmp_path / 'in').mkdir()
        options = ['-vf', 'crop=51:47', '-pix_fmt', 'yuv444p', '-shortest']
        inputs = ['-i', str(video), '-i', str(bad_clips / 'sound.mp4')]
        subprocess.run([ffmpeg, '-v', 'error', *inputs, *options, str(tmp_path / 'in/odd.mkv')], check=True)
        assert run('resize_videos', tmp_path / 'in', tmp_path / 'out')[0] == 0
        result = str(tmp_path / 'out/odd.mp4')
        assert VideoFileReader(result).get_batch([0]).shape == (1, 46, 50, 3)
        info = subprocess.run([ffmpeg, '-i', result], capture_output=True, text=True).stderr
        assert 'h264' in info
        assert 'Audio' not in info

    def test_failures(self, run, originals, tmp_path, bad_clips):
        for name in ('text.mp4', 'empty.mp4', 'zero_frames.mp4', 'sound.mp4'):
            shutil.copy(bad_clips / name, originals)
        code, out, _ = run('resize_videos', originals, tmp_path / 'small')
        assert code == 1
        for name in ('text.mp4', 'empty.mp4', 'zero_frames.mp4', 'sound.mp4'):
            assert f'\n{name}: ' in f'\n{out}'
        assert '3 of 7 clips are in' in out
        assert len([file for file in (tmp_path / 'small').rglob('*') if file.is_file()]) == 3

    def test_bad_arguments(self, run, originals, tmp_path):
        assert 'another folder' in run('resize_videos', originals, originals)[2]
        (tmp_path / 'empty').mkdir()
        assert 'no videos below' in run('resize_videos', tmp_path / 'empty', tmp_path / 'small')[2]
        shutil.copy(originals / 'wide/a.mp4', originals / 'wide/a.mov')
        code, _, err = run('resize_videos', originals, tmp_path / 'small')
        assert code == 2
        assert 'several clips would become' in err

    @pytest.fixture
    def stuck_ffmpeg(self, tmp_path):
        """A PATH with an ffmpeg that writes the beginning of its output and then hangs."""
        program = tmp_path / 'bin/ffmpeg'
        program.parent.mkdir()
        program.write_text(
            '#!/bin/sh\nfor last; do :; done\n[ "$last" = long ] && exit\n'
            'echo half a file > "${last#file:}"\nexec sleep 100\n'
        )
        program.chmod(0o755)
        return f'{program.parent}:{os.environ["PATH"]}'

    def files(self, folder):
        return sorted(file.name for file in folder.rglob('*') if file.is_file())

    def test_ffmpeg_that_hangs(self, run, originals, tmp_path, stuck_ffmpeg, monkeypatch):
        monkeypatch.setenv('PATH', stuck_ffmpeg)
        code, out, _ = run('resize_videos', originals, tmp_path / 'small', '--timeout', '3', '--workers', '3')
        assert code == 1
        assert out.count('not finished after 3 s') == 3
        assert self.files(tmp_path / 'small') == []

    @pytest.mark.parametrize('how', [signal.SIGINT, signal.SIGKILL])
    @pytest.mark.slow
    def test_ended_in_the_middle(self, run, originals, tmp_path, stuck_ffmpeg, how):
        target = tmp_path / 'small'
        process = start('resize_videos', originals, target, '--workers', '3', PATH=stuck_ffmpeg)
        deadline = time.monotonic() + 60
        while len(self.files(target)) < 3 and time.monotonic() < deadline:
            time.sleep(0.05)
        process.send_signal(how)
        assert process.wait(60) != 0
        if how == signal.SIGKILL:  # its children live on
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        left = self.files(target)
        assert all(name.startswith('.') for name in left), 'nothing half done under a final name'
        if how == signal.SIGINT:
            assert left == []
        assert run('resize_videos', originals, target)[0] == 0
        assert self.files(target) == ['a.mp4', 'b b.mp4', 'small.mp4']


class TestExtractFrames:
    def test_frames_of_all_clips_in_order(self, run, video_dir, tmp_path, frame_number):
        code, out, _ = run('extract_frames', video_dir, tmp_path / 'frames', '--quality', 95)
        assert (code, out.splitlines()[-1]) == (0, f'6 of 6 clips are in {tmp_path / "frames"}, 0 failed')
        dataset = FramePairDataset(data_root=str(tmp_path / 'frames'), pipeline=[])
        assert [dataset.get_data_info(i)['video_path'] for i in range(6)] == [
            str(tmp_path / 'frames' / name) for name in ('a', 'b', 'c', 'd', 'e', 'f f')
        ]
        reader = FrameFolderReader(str(tmp_path / 'frames/b'))
        assert [frame_number(frame) for frame in reader] == list(range(18))

    def test_some_frames_smaller(self, run, video_dir, tmp_path, frame_number):
        run('extract_frames', video_dir, tmp_path / 'full')
        run('extract_frames', video_dir, tmp_path / 'some', '--every', 5, '--most', 3, '--short-side', 24)
        names = sorted(path.name for path in (tmp_path / 'some/e').iterdir())
        assert names == ['00000.jpg', '00001.jpg', '00002.jpg']
        frames = FrameFolderReader(str(tmp_path / 'some/e')).get_batch([0, 1, 2])
        assert frames.shape == (3, 24, 32, 3)
        full = FrameFolderReader(str(tmp_path / 'full/e')).get_batch([0, 5, 10])
        assert np.abs(frames[:, 2:6, 2:6].mean((1, 2, 3)) - full[:, 4:12, 4:12].mean((1, 2, 3))).max() < 2

    def test_bad_clips_are_reported_and_nothing_is_done_twice(self, run, video_dir, tmp_path):
        shutil.copytree(video_dir, tmp_path / 'videos')
        (tmp_path / 'videos/broken.mp4').write_text('not a video')
        code, out, _ = run('extract_frames', tmp_path / 'videos', tmp_path / 'frames')
        assert code == 1
        assert 'broken.mp4: not a readable video' in out
        assert sorted(path.name for path in (tmp_path / 'frames').iterdir()) == ['a', 'b', 'c', 'd', 'e', 'f f']
        (tmp_path / 'frames/a/00000.jpg').unlink()  # a folder that is there is not looked into again
        _, out, _ = run('extract_frames', tmp_path / 'videos', tmp_path / 'frames')
        assert '6 clips exist already' in out
        assert not (tmp_path / 'frames/a/00000.jpg').exists()
