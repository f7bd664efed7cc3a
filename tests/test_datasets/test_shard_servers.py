"""Clips in shards from real servers, started here: nginx, and an S3-compatible one (moto)."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from test_shards import ROOT, items_of, make, summary
from tiny_runs import read_trace, tiny_config

from mmvidmae.datasets import SampleIndex, VideoPairDataset, pair_dataset

pytest.importorskip('aiohttp', reason='fsspec reads HTTP with aiohttp')
TOOL = ROOT / 'tools/dataset_converters/make_shards.py'
PIPELINE = [
    dict(type='mmvidmae.SampleFramePairs', gap=(1, 9), draw_first='start'),
    dict(type='mmvidmae.LoadFramePairs'),
    dict(type='mmvidmae.PackPairs'),
]


@pytest.fixture(scope='module')
def shards(tmp_path_factory, video_dir):
    folder = tmp_path_factory.mktemp('shards')
    subprocess.run([sys.executable, TOOL, video_dir, folder, '--megabytes', '0.02'], check=True, stdout=subprocess.PIPE)
    return folder


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv('MMVIDMAE_CACHE', str(tmp_path / 'cache'))


def free_port() -> int:
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        return free.getsockname()[1]


class Nginx:
    """nginx on a free port, which serves a folder."""

    def __init__(self, root: Path, folder: Path, options: str = '') -> None:
        self.port = free_port()
        self.url = f'http://127.0.0.1:{self.port}'
        self.config = folder / 'nginx.conf'
        logs = ''.join(
            f'{name}_temp_path {folder}/{name};' for name in ('client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi')
        )
        user = 'user root;' if os.geteuid() == 0 else ''
        self.config.write_text(
            f'{user} pid {folder}/pid; error_log {folder}/error.log; events {{}} '
            f'http {{ access_log off; {logs} server {{ listen 127.0.0.1:{self.port}; root {root}; {options} }} }}'
        )

    def start(self) -> None:
        """Start the server. The program ends when its daemon listens."""
        subprocess.run(['nginx', '-c', self.config, '-p', self.config.parent], check=True, timeout=30)

    def stop(self) -> None:
        """Stop the server, and wait until its port is free."""
        pid = self.config.with_name('pid')
        if pid.exists():
            os.kill(int(pid.read_text()), signal.SIGTERM)
        while pid.exists():
            threading.Event().wait(0.02)  # tests replace time.sleep


@pytest.fixture
def nginx(shards, tmp_path):
    if not shutil.which('nginx'):
        pytest.skip('nginx is not installed (apt-get install nginx-light)')
    servers = []

    def start(options: str = '', root: Path = shards) -> Nginx:
        folder = tmp_path / f'nginx{len(servers)}'
        folder.mkdir()
        servers.append(Nginx(root, folder, options))
        servers[-1].start()
        return servers[-1]

    yield start
    for server in servers:
        server.stop()


class TestNginx:
    def test_pairs_are_those_of_the_files(self, nginx, video_dir):
        expected = items_of(VideoPairDataset(data_root=str(video_dir), pipeline=PIPELINE), (0, 1))
        assert items_of(make(nginx().url, pipeline=PIPELINE), (0, 1)) == expected
        slow = make(nginx('limit_rate 200k;').url, pipeline=PIPELINE)
        samples = [SampleIndex(i, 0, 1) for i in range(len(slow))]
        assert [summary(item) for item in slow.__getitems__(samples)] == expected[: len(slow)]

    def test_a_server_that_is_started_again(self, nginx, monkeypatch):
        server = nginx()
        dataset = make(server.url)
        expected = items_of(dataset)
        pauses = []

        def wait(seconds: float) -> None:
            if seconds < 1:
                return  # of subprocess
            pauses.append(seconds)
            if len(pauses) == 2:
                server.start()

        monkeypatch.setattr(pair_dataset.time, 'sleep', wait)
        server.stop()
        assert items_of(dataset) == expected
        assert pauses == [1, 2]

    def test_a_server_without_byte_ranges(self, nginx):
        with pytest.raises((ValueError, OSError), match='it does not know byte ranges'):
            make(nginx('max_ranges 0;').url)

    @pytest.mark.parametrize(
        ('options', 'message'), [('deny all;', 'access is denied'), ('return 404;', 'no such file')]
    )
    def test_what_is_refused(self, nginx, options, message):
        with pytest.raises(OSError, match=message):
            make(nginx(options).url)


class TestS3:
    @pytest.fixture
    def bucket(self, shards, monkeypatch):
        """A bucket with the shards: the arguments of the dataset, and the server."""
        pytest.importorskip('s3fs')
        moto = pytest.importorskip('moto.server')
        import boto3

        for name in ('AWS_ACCESS_KEY_ID', 'AWS_SECRET_ACCESS_KEY'):
            monkeypatch.setenv(name, 'testing')
        server = moto.ThreadedMotoServer(ip_address='127.0.0.1', port=0, verbose=False)
        server.start()
        endpoint = f'http://127.0.0.1:{server._server.server_port}'
        client = boto3.client('s3', endpoint_url=endpoint, region_name='us-east-1')
        client.create_bucket(Bucket='clips')
        for path in shards.glob('*.*'):
            client.upload_file(str(path), 'clips', f'k400/{path.name}')
        config = dict(retries=dict(max_attempts=1), connect_timeout=2, read_timeout=2)
        options = dict(client_kwargs=dict(endpoint_url=endpoint), config_kwargs=config)
        yield dict(source='s3://clips/k400', storage_options=options, pipeline=PIPELINE), server
        server.stop()

    def test_pairs_are_those_of_the_files(self, bucket, video_dir, tmp_path):
        expected = items_of(VideoPairDataset(data_root=str(video_dir), pipeline=PIPELINE), (0, 1))
        dataset = make(**bucket[0], cache=dict(folder=tmp_path / 'clips', gigabytes=1))
        assert items_of(dataset, (0, 1)) == expected
        samples = [SampleIndex(i, 0, 1) for i in range(len(dataset))]
        assert [summary(item) for item in dataset.__getitems__(samples)] == expected[: len(dataset)]

    def test_missing_bucket_and_server(self, bucket, monkeypatch):
        arguments, server = bucket
        with pytest.raises(OSError, match='index of the shards cannot be read'):
            make(**{**arguments, 'source': 's3://other/k400'})
        dataset = make(**arguments, patience=1)
        monkeypatch.setattr(pair_dataset.time, 'sleep', lambda seconds: None)
        server.stop()
        with pytest.raises(RuntimeError, match=r'after 1 s of waiting; the last tried: s3://clips/k400'):
            dataset[0]


@pytest.mark.slow
def test_killed_training_over_http_resumes_with_the_losses_of_the_files(shards, nginx, video_dir, tmp_path):
    """Two workers read from nginx; the run is killed with SIGKILL within the second epoch."""
    cfg = tiny_config(video_dir, tmp_path / 'files', 'SiamMAE', custom_imports=dict(imports=['tiny_runs']))
    cfg.train_dataloader.dataset.ann_file = ''  # all clips, in the order of the shards
    cfg.custom_hooks += [dict(type='TraceHook'), dict(type='KillHook')]
    kill = f'custom_hooks.{len(cfg.custom_hooks) - 1}.before_iter'
    cfg.dump(str(tmp_path / 'files.py'))
    cfg.work_dir = str(tmp_path / 'http')
    dataset = dict(cfg.train_dataloader.dataset, type='mmvidmae.ShardPairDataset', data_root=nginx().url)
    dataset.pop('serialize_data')
    dataset.pop('data_prefix')
    cfg.train_dataloader.update(num_workers=2, persistent_workers=True)
    cfg.train_dataloader.dataset = dataset
    cfg.dump(str(tmp_path / 'http.py'))
    environment = dict(os.environ, PYTHONPATH=f'{ROOT}{os.pathsep}{ROOT / "tests"}', OMP_NUM_THREADS='1')

    def train(name: str, *options: str) -> int:
        command = [sys.executable, ROOT / 'tools/train.py', tmp_path / f'{name}.py', *options]
        return subprocess.run(command, env=environment, cwd=tmp_path, stdout=subprocess.DEVNULL).returncode

    assert train('files') == 0
    assert train('http', '--cfg-options', f'{kill}=5') == -signal.SIGKILL
    assert train('http', '--resume') == 0
    trace = read_trace(tmp_path / 'files')
    assert len(trace) > 5
    assert read_trace(tmp_path / 'http') == trace
