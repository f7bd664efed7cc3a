"""What a wheel carries, and what an editable install shows to mim."""

import subprocess
import sysconfig
import venv
from pathlib import Path


def files(folder):
    found = (path for path in folder.rglob('*') if path.is_file() and '__pycache__' not in path.parts)
    return {str(path.relative_to(folder)) for path in found}


def test_wheel_carries_the_package_and_what_mim_needs(built, checkout):
    """All of both, except trained weights and the experiments of our own results."""
    package = {f'mmvidmae/{name}' for name in files(checkout / 'mmvidmae') if not name.startswith('.mim/')}
    mim = {f'mmvidmae/.mim/{part}/{name}' for part in ('configs', 'tools') for name in files(checkout / part)}
    mim = {
        name
        for name in mim
        if not name.startswith(('mmvidmae/.mim/tools/experiments/', 'mmvidmae/.mim/configs/small/weights/'))
    }
    assert not any(name.endswith(('.safetensors', '.pth', '.npz')) for name in built.names)
    info = {name for name in built.names if '.dist-info/' in name}
    assert built.names - info == package | mim | {'mmvidmae/.mim/model-index.yml'}
    assert any(name.endswith('/LICENSE') for name in info)
    assert (built.folder / 'mmvidmae/.mim/tools/train.py').read_text() == (checkout / 'tools/train.py').read_text()


def test_editable_install_links_to_the_checkout(checkout, tmp_path):
    """pip installs the checkout, twice; then what is edited in it is what runs and what mim finds."""
    environment = tmp_path / 'venv'
    venv.create(environment, symlinks=True)
    (site,) = environment.glob('lib/python3*/site-packages')
    (site / 'tools.pth').write_text(sysconfig.get_path('purelib'))  # pip and setuptools, no entries of its .pth files

    def python(*arguments):
        command = [environment / 'bin' / 'python', '-W', 'ignore', *arguments]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    install = ('-m', 'pip', 'install', '--no-deps', '--no-build-isolation', '--no-index', '-e', str(checkout))
    python(*install)
    python(*install)
    assert python('-c', 'import mmvidmae; print(mmvidmae.__file__)') == str(checkout / 'mmvidmae/__init__.py')

    # how openmim 0.3.9 and mmengine look for an installed package
    find = (
        'import os.path, pkg_resources\n'
        'package = pkg_resources.get_distribution("mmvidmae")\n'
        'print(os.path.join(package.location, package.get_metadata("top_level.txt").split("\\n")[0]))'
    )
    mim = Path(python('-c', find)) / '.mim'
    for name in ('configs', 'tools', 'model-index.yml'):
        assert (mim / name).samefile(checkout / name)
    importable = 'import importlib.metadata as m; print(m.distribution("mmvidmae").read_text("top_level.txt"))'
    assert 'mmvidmae' in python('-c', importable).splitlines()
