"""Packages built from a copy of the checkout."""

import importlib.metadata
import shutil
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@dataclass
class Built:
    """A wheel built from a source distribution."""

    names: set[str]
    folder: Path  # the wheel's content

    @property
    def metadata(self):
        (info,) = self.folder.glob('*.dist-info')
        return importlib.metadata.Distribution.at(info).metadata


@pytest.fixture(scope='session')
def checkout(tmp_path_factory):
    """A copy of the files that a package is made from, as a fresh clone has them."""
    copy = tmp_path_factory.mktemp('checkout')
    ignored = shutil.ignore_patterns('__pycache__', '.mim', 'work_dirs')
    for name in ('mmvidmae', 'configs', 'tools', 'requirements'):
        shutil.copytree(ROOT / name, copy / name, ignore=ignored)
    for name in ('setup.py', 'pyproject.toml', 'MANIFEST.in', 'LICENSE', 'README.md', 'model-index.yml'):
        shutil.copy(ROOT / name, copy)
    return copy


@pytest.fixture(scope='session')
def built(checkout, tmp_path_factory):
    """A wheel, built by way of a source distribution."""
    folder = tmp_path_factory.mktemp('built')
    backend = 'import sys, setuptools.build_meta as backend; print(getattr(backend, sys.argv[1])(sys.argv[2]))'

    def build(what, source):
        command = [sys.executable, '-c', backend, what, str(folder)]
        done = subprocess.run(command, cwd=source, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        return folder / done.stdout.splitlines()[-1]

    shutil.unpack_archive(build('build_sdist', checkout), folder)
    (source,) = folder.glob('mmvidmae-*/')
    wheel = build('build_wheel', source)
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / 'wheel')
        return Built({name for name in archive.namelist() if not name.endswith('/')}, folder / 'wheel')
