"""The comparison of data on made-up clips, with a tiny model."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

CHOICES = ('motion', 'diversity', 'random')


def run(*arguments) -> subprocess.CompletedProcess:
    command = [sys.executable, Path(__file__).with_name('tiny_compare_data.py'), *arguments]
    return subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_equal_numbers_of_clips_are_compared(write_video, davis, tmp_path):
    videos, out = tmp_path / 'videos', tmp_path / 'out'
    videos.mkdir()
    for number in range(9):
        write_video(videos / f'{number}.mp4', 12 + number, seed=number)
    command = [videos, out, '--clips', 2, '--seconds', 0.3, '--davis', davis, '--short-side', 64, '--frames', 3]
    command.append('--bf16')
    found = run(*command, '--pairs', 2)
    assert found.returncode == 0, found.stdout[-3000:] + found.stderr[-3000:]
    lists = {name: (out / f'{name}/clips.txt').read_text().splitlines() for name in (*CHOICES, 'test')}
    assert {len({*lines}) for lines in lists.values()} == {2}
    assert not {*lists['test']} & {name for choice in CHOICES for name in lists[choice]}
    results = {path.stem: json.loads(path.read_text()) for path in (out / 'results').iterdir()}
    assert len(results) == 3 + 4 + 4
    changes = results['pretrain-motion-0']['arguments']['changes']
    assert changes == {'optim_wrapper.type': 'mmvidmae.CPUAmpOptimWrapper'}
    assert {results[f'early-{name}-0']['result']['pairs'] for name in (*CHOICES, 'untrained')} == {2}
    losses = {name: results[f'early-{name}-0']['result']['loss']['true'] for name in (*CHOICES, 'untrained')}
    assert len({*losses.values()}) == 4
    table = (out / 'data.md').read_text()
    for name, loss in losses.items():
        assert f'| {name} |' in table
        assert f'| {loss:.3f} |' in table

    times = {path: path.stat().st_mtime_ns for path in (out / 'results').iterdir()}
    assert run(*command, '--pairs', 2).returncode == 0
    assert times == {path: path.stat().st_mtime_ns for path in (out / 'results').iterdir()}
    other = run(*command, '--pairs', 1)
    assert other.returncode
    assert 'has other pairs' in other.stderr


def test_too_few_clips(video_dir, tmp_path):
    found = run(video_dir, tmp_path, '--clips', 5, '--seconds', 1)
    assert found.returncode
    assert 'too few clips for --clips 5' in found.stderr
