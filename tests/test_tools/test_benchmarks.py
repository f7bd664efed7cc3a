"""The benchmarks run, at the smallest size, and compare what they time: each stops if its two ways do not agree."""

import json
import math
import re
import runpy
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import torch

BENCHMARKS = Path(__file__).resolve().parents[2] / 'tools/benchmarks'


@pytest.fixture
def benchmark(monkeypatch, capsys):
    """Runs a benchmark's command line in this process and gives what it printed."""
    monkeypatch.syspath_prepend(BENCHMARKS)

    def run(command: str) -> str:
        monkeypatch.setattr(sys, 'argv', shlex.split(command))
        runpy.run_path(str(BENCHMARKS / sys.argv[0]), run_name='__main__')
        return capsys.readouterr().out

    return run


@pytest.mark.parametrize('method', ['dropmae', 'siammae'])
def test_pretraining_step(benchmark, method):
    printed = benchmark(f'pretraining_step.py {method} --arch tiny --img-size 96 --batch 1 --repeats 1 --threads 1')
    assert re.search(r'ours is \d+\.\d\d times as fast as the reference', printed)
    assert printed.count('times as long as with P = 0') == (3 if method == 'dropmae' else 0)


def test_the_reference_step_drops_by_the_same_law(monkeypatch):
    """Counts and, over many draws, frequencies of the restated sampler and of ours."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    from pretraining_step import reference_drops

    from mmvidmae.models.layers import num_spatial_drops, sample_spatial_drops, spatial_drop_weights

    torch.manual_seed(0)
    logits = (3 * torch.randn(12, 12)).expand(4000, -1, -1).contiguous()
    number = num_spatial_drops(0.3, 12)
    theirs = reference_drops(logits, 0.3)
    ours = sample_spatial_drops(spatial_drop_weights(logits.softmax(-1)), number).float()
    assert theirs.sum((1, 2)).eq(number).all()
    share = (theirs.mean(0) + ours.mean(0)) / 2
    deviation = (2 * share * (1 - share) / len(logits)).sqrt().clamp(min=1e-6)
    assert ((theirs.mean(0) - ours.mean(0)) / deviation).abs().max() < 5


@pytest.mark.slow
def test_scaling():
    """In a process of its own, as it starts others."""
    command = 'scaling.py siammae --arch tiny --img-size 96 --batch 1 --repeats 1 --parts checkpointing precision'
    run = subprocess.run([sys.executable, *shlex.split(command)], cwd=BENCHMARKS, capture_output=True, text=True)
    for name in ('checkpointed', 'bf16 for CPUs'):
        assert re.search(rf'{name}: \d+\.\d\d times as fast as plain', run.stdout), run.stderr


def test_label_propagation(benchmark):
    printed = benchmark('label_propagation.py --arch tiny --size 64 96 --frames 3 --repeats 1 --threads 1')
    assert re.search(r'propagation, full queue +\d', printed)


def test_tracking(benchmark):
    printed = benchmark(
        'tracking.py --arch tiny --template-size 64 --search-size 128 --frames 2 --repeats 1 --threads 1'
    )
    assert re.search(r'\d+\.\d\d times as fast', printed)


@pytest.mark.slow
def test_pair_loading(benchmark, video_dir):
    folder = shlex.quote(str(video_dir))
    printed = benchmark(f'pair_loading.py {folder} --converted {folder} --repeats 1')
    assert printed.count('times the reference') == 5
    assert benchmark(f'pair_loading.py {folder} --list 1000').startswith('1000 lines')
    assert benchmark(f'pair_loading.py {folder} --soak 20').count('MiB') == 11
    assert benchmark(f'pair_loading.py {folder} --workers 0 1 --repeats 1').count('pairs/s') == 2


@pytest.fixture(scope='module')
def report(tmp_path_factory):
    """What the rehearsal printed, and its rows."""
    out = tmp_path_factory.mktemp('gpu')
    command = [sys.executable, *shlex.split(f'gpu_report.py --rehearse --out {out} --commit abc --minutes 15')]
    run = subprocess.run(command, cwd=BENCHMARKS, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + ''.join(log.read_text() for log in out.glob('*.log'))
    return run.stdout, json.loads((out / 'gpu_report.json').read_text())


@pytest.mark.slow
@pytest.mark.timeout(1200)
class TestGPUReport:
    """The report of a GPU, rehearsed on the CPU as docs/gpu.md says."""

    def test_every_part_measures(self, report):
        printed, rows = report
        assert re.search(r'\d+ rows in .*gpu_report.json, 0 parts failed', printed)
        assert {row['part'] for row in rows} == set(runpy.run_path(str(BENCHMARKS / 'gpu_report.py'))['PARTS'])
        for row in rows:
            assert row['error'] is None
            assert row['commit'] == 'abc'
            assert row['versions']['torch'] == torch.__version__
            assert math.isfinite(row['ours'])
            assert row.get('passed', True)

    def test_ratios_are_of_the_figures_beside_them(self, report):
        compared = [row for row in report[1] if row['ratio'] is not None]
        assert len(compared) >= 12
        for row in compared:
            assert row['ratio'] == pytest.approx(row['ours'] / row['reference'])

    def test_a_part_that_runs_out_of_time_ends_no_other(self, tmp_path):
        command = [sys.executable, 'gpu_report.py', '--rehearse', '--out', str(tmp_path), '--minutes', '0.001']
        run = subprocess.run(
            [*command, '--parts', 'steps', 'learning'], cwd=BENCHMARKS, capture_output=True, text=True, check=False
        )
        rows = json.loads((tmp_path / 'gpu_report.json').read_text())
        assert run.returncode == 1
        assert [row['part'] for row in rows] == ['steps', 'learning']
        assert all('its limit' in row['error'] for row in rows)
