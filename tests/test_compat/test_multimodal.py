"""mmpretrain's models import beside any transformers."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def install(folder: Path, name: str, version: str, files: dict[str, str]) -> None:
    """A package with metadata, as pip would leave it."""
    for path, content in files.items():
        (folder / name / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / name / path).write_text(content)
    metadata = folder / f'{name}-{version}.dist-info'
    metadata.mkdir()
    (metadata / 'METADATA').write_text(f'Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n')


def run(folder: Path, code: str) -> subprocess.CompletedProcess:
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join((str(folder), str(ROOT))))
    return subprocess.run(
        [sys.executable, '-c', code], env=environment, cwd=folder, capture_output=True, text=True, check=False
    )


@pytest.fixture
def new_transformers(tmp_path):
    """What mmpretrain finds of transformers 5: the package, but not the functions that it imports."""
    install(tmp_path, 'transformers', '5.0.0', {'__init__.py': '', 'modeling_utils.py': ''})
    install(tmp_path, 'pycocotools', '2.0.11', {'__init__.py': ''})
    return tmp_path


def test_models_import_beside_a_new_transformers(new_transformers):
    broken = run(new_transformers, 'import mmpretrain.models')
    assert broken.returncode, 'mmpretrain has been mended: the bridge can go'
    done = run(
        new_transformers, 'import mmvidmae.models; from mmpretrain.models import VisionTransformer; print("fine")'
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert 'fine' in done.stdout
    assert 'need transformers < 5' in done.stdout + done.stderr
