"""Set up the virtual environment of ``make demo`` (stage ``core``) or ``make test`` (stage ``full``).

Usage: ``python requirements/install.py {core,full} [--stack onedl] [--venv .venv]``. Needs only the standard library.

Repeatable and safe to interrupt at any moment: a stamp in the environment says which stage is installed, from which
requirement files. It is removed before anything changes and written last. Where it does not match, every step runs
again: packages that an interruption left half-copied are forgotten first, and pip passes over those that are whole.
"""

import argparse
import csv
import fcntl
import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
REQUIREMENTS = ROOT / 'requirements'
SUPPORTED = ((3, 10), (3, 11), (3, 12))
STAGES = ('core', 'full')  # each contains the one before
STACKS = ('openmmlab', 'onedl')  # the original packages, or their maintained forks of the same import names


class InstallError(Exception):
    """What went wrong and what to do about it, in words for the user."""


def say(text: str) -> None:
    """Print what is being done, at once, also into a pipe."""
    print(f'[install] {text}', flush=True)


def forks() -> dict[str, list[str]]:
    """What the stack of forks has for each original package: ``{'mmengine': ['onedl-mmengine==0.10.12'], ...}``."""
    found = defaultdict(list)
    for line in (REQUIREMENTS / 'onedl.txt').read_text().splitlines():
        requirement, _, originals = line.partition('  # ')
        for original in filter(None, originals.split(', ')):
            found[original].append(requirement)
    return dict(found)


class Environment:
    """A virtual environment in the folder ``path``, for one of the stacks."""

    def __init__(self, path: Path, stack: str = STACKS[0]) -> None:
        self.path = path.absolute()
        self.stack = stack
        self.python = self.path / 'bin' / 'python'
        self.log = self.path / 'install.log'
        self.unfinished = self.path / 'unfinished'  # there while the environment is being made
        self.stamp = self.path / 'installed'

    def make(self) -> None:
        """Create the environment, again if an interruption left it incomplete; a whole one is kept, whoever made it.

        Raises:
            InstallError: If the folder holds something else, its Python is unfit, or this one has no ensurepip.
        """
        if not self.unfinished.exists() and (version := self.query('import sys; print(*sys.version_info[:3])')):
            major, minor, micro = map(int, version.split())
            if (major, minor) not in SUPPORTED:
                raise InstallError(
                    f'{self.path} has Python {major}.{minor}, not 3.10 to 3.12: '
                    'remove it, or name another folder with VENV=...'
                )
            say(f'using {self.path} (Python {major}.{minor}.{micro})')
            if self.query('import pip; print(pip.__version__)') is None:
                self.run('-m', 'ensurepip')
            return
        if importlib.util.find_spec('ensurepip') is None:
            package = 'python{}.{}-venv'.format(*sys.version_info)
            raise InstallError(f'{sys.executable} cannot make virtual environments: run `apt-get install {package}`')
        if self.path.exists() and any(self.path.iterdir()):
            if not (self.unfinished.exists() or (self.path / 'pyvenv.cfg').exists()):
                raise InstallError(f'{self.path} is not a virtual environment: name another folder with VENV=...')
            say(f'{self.path} is incomplete: removing it')
            remains = self.path.with_name(f'{self.path.name}-old')  # renamed first, lest what remains looks whole
            shutil.rmtree(remains, ignore_errors=True)
            self.path.rename(remains)
            shutil.rmtree(remains)
        say(f'making {self.path} with Python {sys.version.split()[0]}')
        self.path.mkdir(parents=True, exist_ok=True)
        self.unfinished.touch()
        self.run('-m', 'venv', str(self.path), python=sys.executable)
        self.unfinished.unlink()

    def query(self, code: str, **variables: str) -> str | None:
        """What ``code`` prints in the environment's Python, or None if it fails or there is no Python."""
        try:
            environment = {**os.environ, **variables}
            done = subprocess.run([self.python, '-c', code], capture_output=True, text=True, env=environment)
        except OSError:
            return None
        return done.stdout.strip() if done.returncode == 0 else None

    def run(self, *arguments: str, python: str | None = None, **variables: str) -> None:
        """Run the environment's Python in the repository's root, its output going to the log.

        Raises:
            InstallError: If it fails, with the end of its output.
        """
        path = f'{self.python.parent}{os.pathsep}{os.environ.get("PATH", "")}'  # finds ninja when mmcv is built
        quiet = dict(PIP_DISABLE_PIP_VERSION_CHECK='1', PIP_NO_INPUT='1', PIP_ROOT_USER_ACTION='ignore')
        environment = {**os.environ, **quiet, 'PATH': path, **variables}
        with self.log.open('a+') as log:
            start = log.tell()
            command = [python or self.python, *arguments]
            streams = dict(stdin=subprocess.DEVNULL, stdout=log, stderr=log)
            done = subprocess.run(command, **streams, env=environment, cwd=ROOT, close_fds=False)  # keeps the lock
            if done.returncode:
                log.seek(start)
                tail = '\n'.join(log.read().splitlines()[-15:])
                raise InstallError(f'`python {" ".join(arguments)}` failed:\n{tail}\n(all its output is in {self.log})')

    def pip_install(self, *arguments: str) -> None:
        """Run ``pip install``."""
        self.run('-m', 'pip', 'install', *arguments)

    def requirements(self, name: str) -> str:
        """The file of ``requirements/`` that pip gets; for another stack, a copy that names its packages."""
        file = Path('requirements', f'{name}.txt')
        if self.stack == STACKS[0]:
            return str(file)
        names = forks()
        lines = (ROOT / file).read_text().splitlines()
        copy = self.path / f'{name}.txt'
        copy.write_text('\n'.join(part for line in lines for part in names.get(line.partition('==')[0], [line])))
        return str(copy)

    def check_stack(self) -> None:
        """See that the packages of the two stacks, which have the same files, are not installed over each other.

        Raises:
            InstallError: If a package of the other stack is installed.
        """
        of_forks = {requirement.partition('==')[0] for requirements in forks().values() for requirement in requirements}
        others = sorted(of_forks if self.stack == STACKS[0] else forks())
        if found := [name for name in others if self.has(name.replace('-', '_'))]:
            raise InstallError(
                f'{self.path} has {", ".join(found)}, which the stack {self.stack} would overwrite: '
                'name another folder with VENV=...'
            )

    @property
    def site_packages(self) -> Path:
        """Where packages are installed."""
        return next(self.path.glob('lib/python3*/site-packages'))

    def has(self, distribution: str) -> bool:
        """Whether a distribution is installed, named as in its wheel (``mmcv_lite``)."""
        return any(self.site_packages.glob(f'{distribution}-*.dist-info'))

    def forget_half_installed(self) -> None:
        """Remove the metadata of packages whose files are not all there, so that pip installs them again.

        pip writes a package's RECORD last, and removes a package from its first file on.
        """
        for metadata in self.site_packages.glob('*.dist-info'):
            record = metadata / 'RECORD'
            paths = [row[0] for row in csv.reader(record.read_text().splitlines())] if record.exists() else []
            if not paths or not all((self.site_packages / path).exists() for path in paths):
                say(f'{metadata.name.removesuffix(".dist-info")} is incomplete: installing it again')
                shutil.rmtree(metadata)


def install_core(environment: Environment) -> None:
    """Install what pre-training needs, and mmvidmae itself in place."""
    say('installing the pre-training core: requirements/core.txt')
    environment.pip_install('--no-deps', '-r', environment.requirements('core'))
    say('installing requirements/torch.txt (a download of about 3 GB unless TORCH_INDEX_URL names a CPU build)')
    index = os.environ.get('TORCH_INDEX_URL')
    environment.pip_install(*(['--index-url', index] if index else []), '-r', 'requirements/torch.txt')
    if not environment.has('mmcv'):
        environment.pip_install('--no-deps', '-r', environment.requirements('mmcv-lite'))
    environment.pip_install('--no-deps', '--no-build-isolation', '-e', '.')
    say('checking the installation: python -m mmvidmae.utils.check_env')
    environment.run('-m', 'mmvidmae.utils.check_env')


def install_full(environment: Environment) -> None:
    """Install the core, the toolboxes on compiled mmcv, export, the explorer, and the tools of tests and
    documentation."""
    install_core(environment)
    names = ('tracking', 'segmentation', 'deployment', 'explorer', 'test', 'docs')
    say(f'installing toolboxes, export, explorer, tests and documentation: requirements/{{{",".join(names)}}}.txt')
    lists = [part for name in names for part in ('-r', environment.requirements(name))]
    environment.pip_install('--no-deps', *lists)
    if environment.query('import mmcv.ops') is None:
        with tempfile.TemporaryDirectory() as folder:
            wheel = mmcv_wheel(environment, Path(folder))
            say(f'installing {wheel.name} in place of the mmcv without ops')
            environment.run('-m', 'pip', 'uninstall', '--yes', 'mmcv-lite')
            environment.pip_install('--no-deps', '--force-reinstall', str(wheel))


def mmcv_wheel(environment: Environment, folder: Path) -> Path:
    """A wheel of compiled mmcv that loads with the installed torch: found by pip, built before, or built now.

    Args:
        environment (Environment): Has torch, and what mmcv needs.
        folder (Path): Temporary folder for a wheel that pip finds.
    """
    lines = (ROOT / environment.requirements('mmcv')).read_text().splitlines()
    (requirement,) = (line for line in lines if not line.startswith('#'))
    name, version = requirement.split('==')
    try:
        environment.run('-m', 'pip', 'download', '--no-deps', '--only-binary', name, '-d', str(folder), requirement)
    except InstallError:
        say(f'pip finds no wheel of {requirement}')
    for wheel in folder.glob('*.whl'):
        if loads(environment, wheel):
            return wheel
        say(f'{wheel.name} was built for another torch')

    key = environment.query(
        'import sys, torch; from torch.utils.cpp_extension import CUDA_HOME\n'
        'device = "cuda" if CUDA_HOME and torch.cuda.is_available() else "cpu"\n'
        'print(f"cp{sys.version_info[0]}{sys.version_info[1]}-torch{torch.__version__}-{device}")'
    )
    cache = Path(os.environ.get('XDG_CACHE_HOME') or Path.home() / '.cache') / 'mmvidmae' / 'wheels' / key
    for wheel in cache.glob(f'{name.replace("-", "_")}-{version}-*.whl'):
        if loads(environment, wheel):
            return wheel
        wheel.unlink()
    return build_mmcv(environment, requirement, cache)


def loads(environment: Environment, wheel: Path) -> bool:
    """Whether the compiled ops of an mmcv wheel load in the environment; tried outside it."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            zipfile.ZipFile(wheel).extractall(folder)
        except zipfile.BadZipFile:
            return False
        return environment.query('import mmcv.ops', PYTHONPATH=folder) is not None


def build_mmcv(environment: Environment, requirement: str, cache: Path) -> Path:
    """Build mmcv with the installed torch into the cache.

    Raises:
        InstallError: If a compiler or Python's headers are missing, or the build fails.
    """
    headers = Path(environment.query('import sysconfig; print(sysconfig.get_path("include"))'))
    if not any(map(shutil.which, (os.environ.get('CXX', 'c++'), 'g++'))):
        raise InstallError(f'building {requirement} needs a C++ compiler: run `apt-get install g++`')
    if not (headers / 'Python.h').exists():
        raise InstallError(
            f'building {requirement} needs {headers}/Python.h: run `apt-get install {Path(headers).name}-dev`'
        )
    say(f'building {requirement} for {cache.name} (once; about 10 minutes on 2 cores), kept in {cache}')
    memory = os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES')
    jobs = max(1, min(len(os.sched_getaffinity(0)), memory // 2**31))  # a compiler needs up to 2 GB
    variables = dict(MMCV_WITH_OPS='1', MAX_JOBS=os.environ.get('MAX_JOBS', str(jobs)))
    # without debug information and symbols the wheel has 1.4 MB instead of 32, and takes two thirds of the time
    for name, flag in dict(CFLAGS='-g0', CXXFLAGS='-g0', LDFLAGS='-s').items():
        variables[name] = f'{os.environ.get(name, "")} {flag}'
    if cache.name.endswith('-cpu'):
        variables['CUDA_VISIBLE_DEVICES'] = ''  # mmcv would want nvcc for a GPU that it sees
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as folder:
        # no pip cache: its wheels do not tell which torch they were built with
        name = requirement.partition('==')[0]
        options = ('--no-deps', '--no-build-isolation', '--no-cache-dir', '--no-binary', name, '-w', folder)
        environment.run('-m', 'pip', 'wheel', *options, requirement, **variables)
        (built,) = Path(folder).glob('*.whl')
        if not loads(environment, built):
            raise InstallError(f'the {requirement} just built does not load: see {environment.log}')
        return built.replace(cache / built.name)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold a folder against other installations, also while a pip is at work that a killed one left behind."""
    descriptor = os.open(folder, os.O_RDONLY)
    os.set_inheritable(descriptor, True)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        say('waiting for another installation to end')
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    try:
        yield
    finally:
        os.close(descriptor)


def fingerprint() -> str:
    """What an installation depends on: the files that describe it, and the place of the package installed in it."""
    digest = hashlib.sha256(str(ROOT).encode())
    for file in [*sorted(REQUIREMENTS.glob('*.*')), ROOT / 'setup.py', ROOT / 'pyproject.toml']:
        digest.update(file.read_bytes())
    return digest.hexdigest()


def main() -> int:
    """Install a stage unless it is installed.

    Returns:
        int: The exit code.
    """
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('stage', choices=STAGES)
    parser.add_argument(
        '--venv', type=Path, default=ROOT / '.venv', help='folder of the virtual environment (default: .venv)'
    )
    parser.add_argument('--stack', choices=STACKS, default=STACKS[0], help='the OpenMMLab packages or their forks')
    arguments = parser.parse_args()
    environment = Environment(arguments.venv, arguments.stack)
    try:
        if sys.version_info[:2] not in SUPPORTED:
            raise InstallError(f'Python {sys.version.split()[0]} is not 3.10 to 3.12: name another with PYTHON=...')
        with locked(ROOT):
            environment.make()
            environment.check_stack()
            enough = [f'{stage} {fingerprint()}' for stage in STAGES[STAGES.index(arguments.stage) :]]
            if environment.stamp.exists() and environment.stamp.read_text() in enough:
                return 0
            environment.stamp.unlink(missing_ok=True)
            environment.forget_half_installed()
            dict(core=install_core, full=install_full)[arguments.stage](environment)
            environment.stamp.write_text(f'{arguments.stage} {fingerprint()}')
    except InstallError as error:
        print(f'[install] error: {error}', file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        say('interrupted: the same command goes on from here')
        return 130
    return 0


if __name__ == '__main__':
    sys.exit(main())
