"""Clips in tar shards: the tool that writes them, and the dataset that reads them from a disk and over HTTP."""

import hashlib
import importlib
import os
import pickle
import resource
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner
from range_server import RangeServer

from mmvidmae.datasets import (
    FramePairDataset,
    ImageViewDataset,
    SampleIndex,
    ShardPairDataset,
    VideoPairDataset,
    pair_dataset,
)
from mmvidmae.datasets.shard_index import ShardIndex
from mmvidmae.datasets.storage import BoundedCache, Storage

pytest.importorskip('aiohttp', reason='fsspec reads HTTP with aiohttp')

ROOT = Path(__file__).parents[2]
TOOL = ROOT / 'tools/dataset_converters/make_shards.py'
PIPELINE = [
    dict(type='mmvidmae.SampleFramePairs', gap=(1, 9), draw_first='start'),
    dict(type='mmvidmae.LoadFramePairs'),
    dict(type='mmvidmae.PairRandomResizedCrop', size=32, scale=(0.2, 1), shared=False),
    dict(type='mmvidmae.PackPairs'),
]
VIEWS = [
    dict(type='mmvidmae.SampleFrames', num_frames=1),
    dict(type='mmvidmae.LoadFramePairs'),
    dict(type='mmvidmae.PictureViews', size=32, scale=((0.5, 1), (0.3, 0.6))),
    dict(type='mmvidmae.PackPairs'),
]


def make_shards(*args):
    """Runs the tool in this process. Returns its exit code."""
    sys.path.insert(0, str(TOOL.parent))
    try:
        return importlib.import_module('make_shards').main(list(map(str, args)))
    except SystemExit as exit:
        return exit.code
    finally:
        sys.path.remove(str(TOOL.parent))


def stored(folder):
    """All files of a set of shards by name, with their contents."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob('*') if path.is_file()}


def summary(item):
    """All that an item holds, comparable, but for the folder of the clips."""
    samples = [(Path(s.video_path).name, s.frame_ids, s.seed) for s in item['data_samples']]
    skipped = [(Path(path).name, reason) for s in item['data_samples'] for path, reason in s.get('skipped', [])]
    return samples, skipped, [int(pair.long().sum()) for pair in item['inputs']]


def items_of(dataset, epochs=(0,)):
    return [summary(dataset[SampleIndex(i, epoch, 1)]) for epoch in epochs for i in range(len(dataset))]


@pytest.fixture(scope='module')
def clips(tmp_path_factory, video_dir, bad_clips):
    """Good videos in two classes, and videos that are bad in different ways."""
    root = tmp_path_factory.mktemp('clips')
    for number, path in enumerate(sorted(video_dir.iterdir())):
        (root / f'class {number % 2}').mkdir(exist_ok=True)
        shutil.copy(path, root / f'class {number % 2}')
    for name in ('cut_off.mp4', 'damaged.mp4', 'empty.mp4', 'text.mp4'):
        shutil.copy(bad_clips / name, root)
    return root


@pytest.fixture(scope='module')
def shards(tmp_path_factory, clips):
    """The same in shards of a few clips. Read only."""
    target = tmp_path_factory.mktemp('shards')
    assert make_shards(clips, target, '--megabytes', '0.02') == 1, 'some clips are bad'
    assert len(list(target.glob('*.tar'))) > 2
    return target


@pytest.fixture
def server(shards):
    with RangeServer(shards) as server:
        yield server


@pytest.fixture
def pauses(monkeypatch):
    """The waits of datasets, which take no time here."""
    pauses = []
    monkeypatch.setattr(pair_dataset.time, 'sleep', pauses.append)
    return pauses


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv('MMVIDMAE_CACHE', str(tmp_path / 'cache'))


def make(source, **kwargs):
    return ShardPairDataset(data_root=str(source), **{**dict(pipeline=PIPELINE, timeout=5), **kwargs})


class TestTool:
    def test_contents(self, clips, shards):
        """Plain tar files hold the files as they are, at the places that the index tells."""
        index = ShardIndex(shards / 'index.safetensors')
        members = {}
        for name in sorted(path.name for path in shards.glob('*.tar')):
            with tarfile.open(shards / name) as tar:
                for member in tar:
                    members[name, member.offset_data] = member.name, tar.extractfile(member).read()
        dataset = VideoPairDataset(data_root=str(clips), pipeline=PIPELINE)
        paths = [dataset.get_data_info(i)['video_path'] for i in range(len(dataset))]
        assert [str(clips / clip.name) for clip in index] == paths, 'in the order of the files'
        for clip in index:
            ((offset, size),) = clip.ranges
            name, content = members[index.shards[clip.shard].name, offset]
            assert len(content) == size
            assert content == (clips / clip.name).read_bytes()
            assert name == clip.name
        facts = {clip.name: (clip.frames, clip.fps, clip.label) for clip in index}
        assert facts['class 0/a.mp4'] == (12, 25, 0)
        assert facts['class 1/b.mp4'][2] == 1
        assert facts['text.mp4'] == (0, 0, -1)
        lines = [line.split('  ') for line in (shards / 'SHA256SUMS').read_text().splitlines()]
        assert lines == [[hashlib.sha256((shards / name).read_bytes()).hexdigest(), name] for _, name in lines]
        assert [name for _, name in lines] == [shard.name for shard in index.shards]
        assert sum(shard.num_clips for shard in index.shards) == len(index)

    def test_webdataset_reads_them(self, clips, shards):
        webdataset = pytest.importorskip('webdataset')
        samples = list(webdataset.WebDataset(sorted(map(str, shards.glob('*.tar'))), shardshuffle=False))
        assert len(samples) == len(ShardIndex(shards / 'index.safetensors'))
        assert samples[0]['mp4'] == (clips / f'{samples[0]["__key__"]}.mp4').read_bytes()

    def test_resumes(self, clips, tmp_path, capsys):
        for name in ('a.mp4', 'b.mp4', 'd.mkv'):
            (tmp_path / 'in').mkdir(exist_ok=True)
            shutil.copy(next(clips.rglob(name)), tmp_path / 'in')
        arguments = (tmp_path / 'in', tmp_path / 'out', '--megabytes', '0.0001', '--workers', '1')
        assert make_shards(*arguments) == 0
        before = stored(tmp_path / 'out')
        times = {path.name: path.stat().st_mtime_ns for path in (tmp_path / 'out').glob('*.tar')}
        (tmp_path / 'out/shard-000001.tar').write_bytes(b'cut off')
        (tmp_path / 'out/index.safetensors').unlink()
        assert make_shards(*arguments) == 0
        assert '2 of 3 shards exist already' in capsys.readouterr().out
        assert stored(tmp_path / 'out') == before
        assert make_shards(*arguments) == 0
        assert '3 of 3 shards exist already' in capsys.readouterr().out
        shutil.copy(next(clips.rglob('c.avi')), tmp_path / 'in/a.mp4')
        assert make_shards(*arguments) == 0
        after = {path.name: path.stat().st_mtime_ns for path in (tmp_path / 'out').glob('*.tar')}
        assert [name for name in sorted(after) if after[name] == times[name]] == ['shard-000002.tar']
        assert len(list((tmp_path / 'out/parts').iterdir())) == 3
        (tmp_path / 'in/d.mkv').unlink()
        assert make_shards(*arguments) == 2, 'a shard would be left over'
        assert 'shard-000002.tar; remove them' in capsys.readouterr().err

    @pytest.mark.slow
    def test_killed(self, clips, shards, tmp_path):
        """What a killed run leaves is not taken for a whole set, and the next run completes it."""
        command = [
            sys.executable,
            str(TOOL),
            str(clips),
            str(tmp_path / 'out'),
            '--megabytes',
            '0.02',
            '--workers',
            '1',
        ]
        env = {**os.environ, 'PYTHONPATH': str(ROOT)}
        process = subprocess.Popen(
            command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
        deadline = time.monotonic() + 60
        while not list((tmp_path / 'out').glob('.shard-*')) and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.005)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        if not (tmp_path / 'out/index.safetensors').exists():
            with pytest.raises(FileNotFoundError, match=r'make_shards\.py writes it'):
                make(tmp_path / 'out')
        assert make_shards(*command[2:]) == 1
        assert stored(tmp_path / 'out') == stored(shards)

    def test_bad_clips_are_reported_each_time(self, clips, shards, capsys):
        assert make_shards(clips, shards, '--megabytes', '0.02') == 1
        out = capsys.readouterr().out
        assert 'text.mp4: it cannot be decoded' in out
        assert '3 failed' in out

    def test_names(self, video_dir, tmp_path):
        """Each clip is a sample of WebDataset, whatever its name."""
        names = [b'a.b.mp4', b'a_b.mp4', b'a.mp4', b'a.mkv', b'caf\xe9.mp4', b'12:30.mp4', b"it's, [1].mp4"]
        (tmp_path / 'in').mkdir()
        for name in names:
            shutil.copy(video_dir / 'a.mp4', os.fsencode(tmp_path / 'in') + b'/' + name)
        assert make_shards(tmp_path / 'in', tmp_path / 'it\'s, a "b:c') == 0
        with tarfile.open(tmp_path / 'it\'s, a "b:c/shard-000000.tar') as tar:
            keys = [name.split('.')[0] for name in tar.getnames()]
        assert len(keys) == 2 * len(names)
        assert len(set(keys)) == len(names)
        dataset = make(tmp_path / 'it\'s, a "b:c')
        paths = [os.fsencode(dataset.get_data_info(i)['video_path']) for i in range(len(dataset))]
        assert sorted(os.path.basename(path) for path in paths) == sorted(names)
        assert all(not item[1] for item in items_of(dataset))

    def test_list(self, clips, tmp_path, capsys):
        (tmp_path / 'list.txt').write_text('class 1/b.mp4 7\n"class 0/a.mp4"\n')
        assert make_shards(tmp_path / 'list.txt', tmp_path / 'out', '--data-root', clips) == 0
        index = ShardIndex(tmp_path / 'out/index.safetensors')
        assert [(clip.name, clip.label) for clip in index] == [('class 1/b.mp4', 7), ('class 0/a.mp4', -1)]
        (tmp_path / 'list.txt').write_text('missing.mp4 7\n')
        assert make_shards(tmp_path / 'list.txt', tmp_path / 'other', '--data-root', clips) == 2
        assert 'missing.mp4' in capsys.readouterr().err


class TestSamePairs:
    """The pairs are those of the files, whatever holds the clips."""

    def test_videos(self, clips, shards, server):
        expected = items_of(VideoPairDataset(data_root=str(clips), pipeline=PIPELINE), (0, 1))
        assert any(skipped for _, skipped, _ in expected)
        assert items_of(make(shards), (0, 1)) == expected
        assert items_of(make(f'file://{shards}'), (0, 1)) == expected
        assert items_of(make(server.url), (0, 1)) == expected

    @pytest.fixture
    def pictures(self, tmp_path):
        for folder, number in (('a.1', 12), ('b/2', 3), ('bad', 1)):
            (tmp_path / 'in' / folder).mkdir(parents=True)
            for i in range(number):
                picture = np.random.default_rng(i).integers(0, 255, (48, 64, 3), np.uint8)
                cv2.imwrite(str(tmp_path / f'in/{folder}/img.{i}.png'), picture)
        (tmp_path / 'in/bad/img.0.png').write_text('no picture')
        return tmp_path / 'in'

    def test_frame_folders(self, pictures, tmp_path):
        assert make_shards(pictures, tmp_path / 'out', '--frames', '--megabytes', '0.1') == 0
        expected = items_of(FramePairDataset(data_root=str(pictures), pipeline=PIPELINE), (0, 1))
        assert [[name for name, _ in skipped] for _, skipped, _ in expected[:3]] == [[], [], ['bad']]
        with RangeServer(tmp_path / 'out') as server:
            for dataset in (make(tmp_path / 'out'), make(server.url)):
                found = items_of(dataset, (0, 1))
                assert [(samples, sums) for samples, _, sums in found] == [(a, c) for a, _, c in expected]
                assert found[2][1] == [('bad', 'frame 0 is no readable image')]
            server.delay = 0.1
            assert len(dataset._make_reader(dataset.get_data_info(0)).get_batch(range(12))) == 12
            assert server.most_at_once > 2

    def test_pictures(self, pictures, tmp_path):
        assert make_shards(pictures, tmp_path / 'out', '--images') == 1
        expected = items_of(ImageViewDataset(data_root=str(pictures), pipeline=VIEWS))
        with RangeServer(tmp_path / 'out') as server:
            for source in (tmp_path / 'out', server.url):
                assert items_of(make(source, pipeline=VIEWS)) == expected

    def test_loader(self, clips, shards, server):
        """With workers, in batches, from the third batch on."""

        def load(type, root, num_workers, start=0, **kwargs):
            cfg = dict(
                dataset=dict(type=f'mmvidmae.{type}', data_root=str(root), pipeline=PIPELINE, **kwargs),
                sampler=dict(type='mmvidmae.PairSampler'),
                collate_fn=dict(type='mmvidmae.pair_collate'),
                batch_size=2,
                num_workers=num_workers,
            )
            loader = Runner.build_dataloader(cfg, seed=3)
            loader.sampler.start = start
            return [summary(batch) for batch in loader]

        expected = load('VideoPairDataset', clips, 0)
        assert load('ShardPairDataset', shards, 2) == expected
        assert load('ShardPairDataset', server.url, 0) == expected
        assert load('ShardPairDataset', server.url, 2, start=4) == expected[2:]

    def test_concatenated_subsets_and_copies(self, clips, shards):
        dataset, files = make(shards), VideoPairDataset(data_root=str(clips), pipeline=PIPELINE)
        for indices in ([5, 1], 3, -5):
            assert items_of(dataset.get_subset(indices)) == items_of(files.get_subset(indices))
            assert items_of(make(shards, indices=indices)) == items_of(files.get_subset(indices))
        assert len(make(shards, indices=1000)) == len(files)
        copy = pickle.loads(pickle.dumps(dataset))
        assert items_of(copy) == items_of(files)
        both = torch.utils.data.ConcatDataset([dataset, files])
        assert summary(both[SampleIndex(len(files), 0, 0, number=0)]) == summary(both[SampleIndex(0, 0, 0)])

    def test_config(self, shards):
        config = Config.fromfile(ROOT / 'configs/_base_/datasets/shards.py')
        dataset = {**config.train_dataloader.dataset, 'data_root': str(shards.parent), 'pipeline': PIPELINE}
        dataset['data_prefix'] = dict(shards=shards.name)
        dataset.pop('type')
        assert len(ShardPairDataset(**dataset)) == len(make(shards))


class TestFaults:
    """Nothing hangs, nothing is skipped without a word, and the pairs are those of a run without faults."""

    @pytest.mark.parametrize('fault', [503, 500, 'cut', 'hang', 'whole'])
    def test_server_that_fails_for_a_while(self, server, pauses, fault):
        dataset = make(server.url, timeout=0.5)
        expected = items_of(dataset)
        pauses.clear()
        healthy = len(server.requests) + 3  # three bad answers
        server.spoil = lambda name, number: fault if number <= healthy else None
        assert items_of(dataset) == expected
        assert pauses == [1, 2, 4]

    def test_a_batch_that_is_requested_ahead(self, server, pauses):
        dataset = make(server.url)
        samples = [SampleIndex(i, 0, 1) for i in range(len(dataset))] * 2
        expected = [summary(dataset[sample]) for sample in samples]
        server.delay, server.most_at_once = 0.05, 0
        assert [summary(item) for item in dataset.__getitems__(samples)] == expected
        assert server.most_at_once > 4
        server.delay, start = 0, len(server.requests)
        server.spoil = lambda name, number: (None, 503, 'cut')[number % 3] if number < start + 12 else None
        assert [summary(item) for item in dataset.__getitems__(samples)] == expected
        assert pauses

    def test_server_that_stays_away(self, shards, pauses):
        with RangeServer(shards) as server:
            dataset = make(server.url, patience=10)
            requests = len(server.requests)
        start = time.monotonic()
        with pytest.raises(RuntimeError, match=r'after 10 s of waiting; the last tried: .*shard-000000\.tar'):
            dataset[0]
        assert pauses == [1, 2, 4, 3]
        assert len(server.requests) == requests
        assert time.monotonic() - start < 30
        with pytest.raises(OSError, match='index of the shards cannot be read'):
            make(server.url)

    def test_slow_server_from_the_start(self, server):
        server.spoil = lambda name, number: 'hang' if name.endswith('.tar') else None
        with pytest.raises(ValueError, match=r'no readable clip among 10:\n.*no answer within 0\.2 s'):
            make(server.url, timeout=0.2)

    @pytest.mark.parametrize('remote', [False, True])
    def test_truncated_shard(self, clips, shards, tmp_path, remote, pauses):
        """Its clips are replaced and reported as clips that are cut off; the others are read."""
        shutil.copytree(shards, tmp_path / 'copy')
        index = ShardIndex(shards / 'index.safetensors')
        last = [number for number, clip in enumerate(index) if clip.shard == 1][-1]
        (offset, _) = index[last].ranges[0]
        os.truncate(tmp_path / 'copy/shard-000001.tar', offset + 1)
        with RangeServer(tmp_path / 'copy') as server:
            dataset = make(server.url if remote else tmp_path / 'copy')
            ((path, reason), *_) = dataset[SampleIndex(last, 0, 0)]['data_samples'][0].skipped
            assert path.endswith(index[last].name)
            assert 'the shard is cut off' in reason
            os.truncate(tmp_path / 'copy/shard-000001.tar', offset - 1)
            other = make(server.url if remote else tmp_path / 'copy')
            assert 'the shard is cut off' in other[SampleIndex(last, 0, 0)]['data_samples'][0].skipped[0][1]
        assert not pauses

    @pytest.mark.parametrize('remote', [False, True])
    def test_missing_shard(self, shards, tmp_path, remote):
        shutil.copytree(shards, tmp_path / 'copy')
        (tmp_path / 'copy/shard-000000.tar').unlink()
        with RangeServer(tmp_path / 'copy') as server:
            dataset = make(server.url if remote else tmp_path / 'copy')
            skipped = dataset[SampleIndex(0, 0, 0)]['data_samples'][0].skipped
        assert 'shard-000000.tar' in skipped[0][0]
        assert 'no such file' in skipped[0][1].lower()

    def test_missing_index(self, shards, tmp_path, server):
        with pytest.raises(FileNotFoundError, match=r'index.*there is no such file'):
            make(server.url + '/nowhere')
        (tmp_path / 'index.safetensors').write_bytes((shards / 'index.safetensors').read_bytes()[:-5])
        with pytest.raises(ValueError, match='damaged index'):
            make(tmp_path)
        server.root = tmp_path
        with pytest.raises(OSError, match='cut off'):
            make(server.url)
        (tmp_path / 'index.safetensors').write_text('this is no index')
        for source in (tmp_path, server.url):
            with pytest.raises(ValueError, match='index'):
                make(source)

    @pytest.mark.parametrize('status', [401, 403])
    def test_denied(self, server, status):
        server.spoil = lambda name, number: status if name.endswith('.tar') else None
        with pytest.raises(ValueError, match='access is denied; are the credentials in the environment'):
            make(server.url)

    @pytest.mark.parametrize(
        ('url', 'options'),
        [
            ('http://me:hidden@127.0.0.1', {}),
            ('http://127.0.0.1/a?X-Amz-Signature=hidden', {}),
            ('s3://bucket', dict(secret='hidden')),
            ('http://127.0.0.1', dict(client_kwargs=dict(headers=dict(Authorization='hidden')))),
        ],
    )
    def test_secrets_in_a_config(self, url, options):
        with pytest.raises(ValueError, match='may hold a secret, and configs are copied to logs') as caught:
            make(url, storage_options=options)
        assert 'hidden' not in str(caught.value)

    def test_missing_package(self, monkeypatch):
        monkeypatch.setitem(sys.modules, 's3fs', None)
        monkeypatch.delitem(
            sys.modules['fsspec.registry']._registry, 's3', raising=False
        )  # another test may have read from S3
        with pytest.raises(ImportError, match='s3fs'):
            make('s3://bucket/k400')


class TestCache:
    def test_second_epoch_asks_for_nothing(self, server, tmp_path):
        cache = dict(folder=tmp_path / 'kept', gigabytes=1)
        expected = items_of(make(server.url))
        dataset = make(server.url, cache=cache)
        assert items_of(dataset) == expected
        requests = len(server.requests)
        assert items_of(dataset) == expected
        assert items_of(make(server.url, cache=cache)) == expected, 'in another run'
        assert sum(name.endswith('.tar') for name, _ in server.requests[requests:]) == 0
        for path in (tmp_path / 'kept').rglob('*'):
            if path.is_file():
                path.write_bytes(path.read_bytes()[:3])
        assert items_of(dataset) == expected, 'damaged entries are read again'

    def test_is_bounded(self, tmp_path):
        cache = BoundedCache(tmp_path, 1e-5)
        for number in range(50):
            cache.put(str(number), bytes(1000))
            assert cache.get('0', 1000), 'what is used is kept'
            time.sleep(0.001)
        size = sum(path.stat().st_size for path in tmp_path.rglob('*') if path.is_file())
        assert 9000 <= size <= 11000
        assert cache.get('49', 1000)
        assert cache.get('1', 1000) is None


def test_long_index_opens_at_once(tmp_path):
    """A million clips take no memory of their own until they are used."""
    from mmvidmae.datasets.shard_index import Shard, ShardClip, join_indexes, write_index

    clips = [ShardClip(f'class/{i:08d}.mp4', 0, [(i, 1)], 1, 25.0, 0) for i in range(10_000)]
    write_index(tmp_path / 'part', 'video', Shard('shard-000000.tar', 10_000, 1, ''), clips)
    join_indexes(tmp_path / 'index.safetensors', [ShardIndex(tmp_path / 'part')] * 100)
    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    index = ShardIndex(tmp_path / 'index.safetensors')
    seconds = time.process_time() - start
    assert len(index) == 1_000_000
    assert index[999_999] == clips[-1]._replace(shard=99)
    assert index[10_001] == clips[1]._replace(shard=1)
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    assert grown < 200, f'{grown:.0f} MiB, {seconds:.2f} s'


def test_storage_survives_a_fork(server):
    """A data loader's worker has connections of its own."""
    storage = Storage(server.url)
    storage.expect('SHA256SUMS', 0, 5)
    (first,) = storage.read('SHA256SUMS', [(0, 5)])
    process = os.fork()
    if not process:
        storage.expect('SHA256SUMS', 0, 5)
        os._exit(storage.read('SHA256SUMS', [(0, 5)]) != [first])
    assert os.waitpid(process, 0)[1] == 0
