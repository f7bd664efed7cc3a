"""The benchmarks run, at the smallest size, and compare what they time: each stops if its two ways do not agree."""

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
    assert printed.count('times as long as with P = 0') == (2 if method == 'dropmae' else 0)


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


def test_scaling():
    """In a process of its own, as it starts others."""
    command = 'scaling.py siammae --arch tiny --img-size 96 --batch 1 --repeats 1 --parts checkpointing'
    run = subprocess.run([sys.executable, *shlex.split(command)], cwd=BENCHMARKS, capture_output=True, text=True)
    assert re.search(r'checkpointed: \d+\.\d\d times as fast as plain', run.stdout), run.stderr


def test_label_propagation(benchmark):
    printed = benchmark('label_propagation.py --arch tiny --size 64 96 --frames 3 --repeats 1 --threads 1')
    assert re.search(r'propagation, full queue +\d', printed)


def test_tracking(benchmark):
    printed = benchmark(
        'tracking.py --arch tiny --template-size 64 --search-size 128 --frames 2 --repeats 1 --threads 1'
    )
    assert re.search(r'\d+\.\d\d times as fast', printed)


def test_pair_loading(benchmark, video_dir):
    folder = shlex.quote(str(video_dir))
    printed = benchmark(f'pair_loading.py {folder} --converted {folder} --repeats 1')
    assert printed.count('times the reference') == 5
    assert benchmark(f'pair_loading.py {folder} --list 1000').startswith('1000 lines')
    assert benchmark(f'pair_loading.py {folder} --soak 20').count('MiB') == 11
    assert benchmark(f'pair_loading.py {folder} --workers 0 1 --repeats 1').count('pairs/s') == 2
