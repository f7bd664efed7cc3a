"""check_env tells the truth about this environment and about poorer ones."""

import re
import runpy
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from mmvidmae.utils import check_env

ROOT = Path(__file__).parents[2]
PINS = {False: ('mmengine==0.10.7', 'mmcv==2.1.0'), True: ('onedl-mmengine==0.10.12', 'onedl-mmcv==2.3.6')}
MMENGINE, MMCV = PINS[check_env.distributions('mmengine')[0].startswith('onedl-')]  # the stack of this environment


def run(*hidden):
    """The exit code, and each capability's lines, of check_env in a Python in which ``hidden`` modules are missing."""
    code = (
        'import runpy, sys; sys.modules.update(dict.fromkeys(sys.argv[1:]));'
        'runpy.run_module("mmvidmae.utils.check_env", run_name="__main__")'
    )
    done = subprocess.run([sys.executable, '-c', code, *hidden], cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert 'Traceback' not in done.stderr
    capabilities, name = {}, None
    for line in done.stdout.partition('What works\n')[2].splitlines():
        if line.startswith('  ') and line[2] != ' ':
            name = line.split()[0]
            capabilities[name] = []
        if line.startswith('  '):
            capabilities[name].append(line[13:])
    assert list(capabilities) == ['pre-train', 'segment', 'track', 'GPU'], done.stdout + done.stderr
    return done.returncode, capabilities


@pytest.mark.slow
def test_this_environment_can_pretrain():
    code, capabilities = run()
    assert code == 0
    assert capabilities['pre-train'] == ['yes']


@pytest.mark.parametrize(
    ('hidden', 'line'),
    [
        ('torch', r'install torch==\S+ torchvision==\S+$'),
        ('mmcv', f'install --no-deps .*{MMCV.replace("mmcv==", "mmcv(-lite)?==")}$'),
        ('einops', 'install einops$'),
    ],
)
@pytest.mark.slow
def test_names_the_pip_line_for_a_missing_module(hidden, line):
    code, capabilities = run(hidden)
    assert code == 1
    reason, command = capabilities['pre-train']
    assert reason.startswith('no: importing ')
    assert hidden in reason
    assert command.startswith(shlex.quote(sys.executable) + ' -m pip ') or 'MMCV_WITH_OPS=1' in command
    assert re.search(line, command)


def test_missing_compiled_ops():
    error = ModuleNotFoundError("No module named 'mmcv._ext'", name='mmcv._ext')
    assert check_env.remedy('mmcv.ops', error).endswith(f'--no-build-isolation --no-cache-dir {MMCV}')


def test_refused_versions():
    error = AssertionError('MMEngine==0.5.0 is used but incompatible. Please install mmengine>=0.8.3')
    assert check_env.remedy('mmpretrain.models', error).endswith(f'install --no-deps {MMENGINE}')
    assert 'do not install' in check_env.remedy('mmtrack', AssertionError('MMCV==2.1.0 is used but incompatible.'))
    assert check_env.remedy('mmpretrain.models', OSError('libGL.so.1: cannot open shared object file')) is None


@pytest.fixture
def add_distribution(tmp_path, monkeypatch):
    """A function ``add_distribution(name, module)`` that puts metadata of release 1.2 on the path."""
    monkeypatch.syspath_prepend(tmp_path)

    def add(name, module):
        info = tmp_path / f'{name.replace("-", "_")}-1.2.dist-info'
        info.mkdir()
        (info / 'METADATA').write_text(f'Metadata-Version: 2.1\nName: {name}\nVersion: 1.2\n')
        (info / 'top_level.txt').write_text(f'{module}\n')

    return add


def test_where_there_are_forks_the_remedy_is_a_fork(add_distribution):
    add_distribution('onedl-mmcv', 'mmcv')
    missing = ModuleNotFoundError("No module named 'mmseg'", name='mmseg')
    assert check_env.remedy('mmseg.models', missing).endswith('install --no-deps onedl-mmsegmentation==1.4.2')
    missing = ModuleNotFoundError("No module named 'mmcv._ext'", name='mmcv._ext')
    assert check_env.remedy('mmcv.ops', missing).endswith('--no-cache-dir onedl-mmcv==2.3.6')
    missing = ModuleNotFoundError("No module named 'torch'", name='torch')
    assert check_env.remedy('torch', missing).endswith(f'install {check_env.PIP["torch"]}')


def test_forks_and_second_copies_are_listed(add_distribution):
    add_distribution('onedl-toolbox', 'toolbox')
    add_distribution('toolbox', 'toolbox')
    assert check_env.distributions('toolbox') == ['onedl-toolbox 1.2', 'toolbox 1.2']
    assert check_env.distributions('mmvidmae_no_such_module') == []


def test_needs_only_the_standard_library():
    """It must run where nothing is installed: isolated from site-packages, it still reports."""
    command = [sys.executable, '-S', '-m', 'mmvidmae.utils.check_env']
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert "No module named 'numpy'" in done.stdout
    assert runpy.run_path(str(ROOT / 'mmvidmae/version.py'))['__version__'] in done.stdout
