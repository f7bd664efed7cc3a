"""requirements/install.py: repairs what an interruption left, keeps what is whole, and says what is wrong."""

import importlib.util
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / 'requirements' / 'install.py'


@pytest.fixture(scope='module')
def install():
    spec = importlib.util.spec_from_file_location('install', SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def environment(install, tmp_path):
    """An environment without pip."""
    venv.create(tmp_path / 'venv', symlinks=True)
    return install.Environment(tmp_path / 'venv')


def test_makes_an_environment_again_that_an_interruption_left_unfinished(install, tmp_path, capsys):
    environment = install.Environment(tmp_path / 'venv')
    environment.path.mkdir()
    environment.unfinished.touch()
    (environment.path / 'half').touch()
    environment.make()
    assert environment.query('import pip; print(1)') == '1'
    assert 'incomplete' in capsys.readouterr().out
    assert not (environment.path / 'half').exists()

    (environment.path / 'kept').touch()
    environment.make()
    assert (environment.path / 'kept').exists()
    assert list(tmp_path.iterdir()) == [environment.path]


def test_leaves_a_folder_alone_that_is_no_environment(install, tmp_path):
    (tmp_path / 'precious').touch()
    with pytest.raises(install.InstallError, match='is not a virtual environment'):
        install.Environment(tmp_path).make()
    assert (tmp_path / 'precious').exists()


def test_forgets_packages_that_are_half_installed(environment):
    def add(name, files, record=True):
        metadata = environment.site_packages / f'{name}-1.0.dist-info'
        metadata.mkdir()
        for file in files[1:]:
            (environment.site_packages / file).touch()
        if record:
            (metadata / 'RECORD').write_text(''.join(f'{file},,\n' for file in files))

    add('no_record', ['a.py', 'b.py'], record=False)  # killed while pip was copying
    add('file_gone', ['c.py', 'd.py'])  # killed while pip was removing
    add('whole', ['whole-1.0.dist-info/RECORD', 'e.py'])
    environment.forget_half_installed()
    assert environment.has('whole')
    assert not environment.has('no_record')
    assert not environment.has('file_gone')


def test_the_stack_of_forks_has_the_same_lists_with_its_packages(install, tmp_path):
    ours, forks = install.Environment(tmp_path), install.Environment(tmp_path, 'onedl')

    def lines(environment, name):
        text = (ROOT / environment.requirements(name)).read_text()
        return {line for line in text.splitlines() if line and not line.startswith('#')}

    assert lines(forks, 'mmcv') == lines(forks, 'mmcv-lite')
    replaced, added = set(), set()
    for name in ('core', 'mmcv', 'segmentation', 'test', 'tracking'):
        assert lines(ours, name) != set()
        replaced |= lines(ours, name) - lines(forks, name)
        added |= lines(forks, name) - lines(ours, name)
    assert {line.partition('==')[0] for line in replaced} == set(install.forks()) - {'mmcv-lite'}
    assert added == {requirement for requirements in install.forks().values() for requirement in requirements}


@pytest.mark.parametrize(
    ('stack', 'installed'), [('onedl', 'mmengine'), ('openmmlab', 'onedl_mmengine')], ids=['forks', 'originals']
)
def test_one_stack_is_not_installed_over_the_other(install, environment, stack, installed):
    (environment.site_packages / f'{installed}-1.0.dist-info').mkdir()
    environment.stack = stack
    with pytest.raises(install.InstallError, match=f'has {installed.replace("_", "-")}, .* another folder with VENV'):
        environment.check_stack()
    environment.stack = 'onedl' if stack == 'openmmlab' else 'openmmlab'
    environment.check_stack()


def run(*arguments, **variables):
    variables = {**os.environ, **variables}
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, env=variables, timeout=60)


def test_an_installed_stage_is_not_installed_again(install, tmp_path):
    environment = install.Environment(tmp_path / 'venv')
    environment.make()
    environment.stamp.write_text(f'full {install.fingerprint()}')
    for stage in install.STAGES:
        done = run(SCRIPT, stage, '--venv', environment.path)
        assert done.returncode == 0
        assert done.stdout.splitlines() == [f'[install] using {environment.path} (Python {sys.version.split()[0]})']


def test_a_failure_shows_its_output_and_leaves_no_stamp(install, tmp_path):
    """The stamp of other requirement files does not count; pip then fails, having no index here."""
    environment = install.Environment(tmp_path / 'venv')
    environment.make()
    environment.stamp.write_text('core of another version')
    variables = dict(PIP_NO_INDEX='1', PIP_FIND_LINKS='', PIP_CONFIG_FILE=os.devnull)
    done = run(SCRIPT, 'core', '--venv', environment.path, **variables)
    assert done.returncode == 1
    assert '[install] error: `python -m pip install --no-deps -r requirements/core.txt` failed:' in done.stderr
    assert 'No matching distribution found' in done.stderr
    assert not environment.stamp.exists()


def test_mmcv_wheels_are_tried_before_use(install, environment, tmp_path):
    wheel = tmp_path / 'mmcv-2.1.0.whl'
    wheel.write_bytes(b'cut off')
    assert not install.loads(environment, wheel)
    for ops, loads in (('', True), ('import mmcv._ext', False)):
        (tmp_path / 'mmcv').mkdir()
        (tmp_path / 'mmcv' / '__init__.py').touch()
        (tmp_path / 'mmcv' / 'ops.py').write_text(ops)
        shutil.make_archive(str(tmp_path / 'wheel'), 'zip', tmp_path, 'mmcv')
        assert install.loads(environment, tmp_path / 'wheel.zip') is loads
        shutil.rmtree(tmp_path / 'mmcv')


def test_building_mmcv_needs_a_compiler(install, environment, tmp_path, monkeypatch):
    monkeypatch.setenv('PATH', str(tmp_path))
    with pytest.raises(install.InstallError, match=r'needs a C\+\+ compiler: run `apt-get install'):
        install.build_mmcv(environment, 'mmcv==2.1.0', tmp_path / 'cache')


def test_make_says_which_python_it_wants():
    done = subprocess.run(
        ['make', 'core', 'PYTHON=no-such-python'], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert done.returncode != 0
    assert 'None of "no-such-python" is Python 3.10 to 3.12' in done.stderr
