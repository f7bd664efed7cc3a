"""The versions named in different places agree, and no requirement drags in a second copy of a toolbox."""

import re
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from mmvidmae.utils import check_env

ROOT = Path(__file__).parents[2]
FILES = {path.stem: path for path in (ROOT / 'requirements').glob('*.txt')}
#: Distributions that share their import name with another, or ask for one that does.
AMBIGUOUS = re.compile(
    r'(onedl-)?mm(cv|cls|det(ection)?|engine|pretrain|segmentation|track)|mmcv-.*|opencv-.*|trackeval'
)


def requirements(path):
    """Those of this version of Python."""
    lines = (line.partition('#')[0].strip() for line in path.read_text().splitlines())
    found = [Requirement(line) for line in lines if line]
    return [requirement for requirement in found if not requirement.marker or requirement.marker.evaluate()]


def pins():
    return {
        canonicalize_name(requirement.name): str(requirement.specifier)
        for path in FILES.values()
        for requirement in requirements(path)
    }


@pytest.mark.parametrize('name', FILES)
def test_every_requirement_is_pinned_once_and_equally_in_all_files(name):
    found = requirements(FILES[name])
    assert found
    for requirement in found:
        assert re.fullmatch(r'==[\w.]+', str(requirement.specifier)), f'{requirement} has no exact version'
        assert pins()[canonicalize_name(requirement.name)] == str(requirement.specifier)
    names = [canonicalize_name(requirement.name) for requirement in found]
    assert len(set(names)) == len(names)


def test_pip_lines_of_check_env_are_the_tested_versions():
    lines = [*check_env.PIP.values(), *check_env.FORKS.values()]
    lines = [part for line in lines for part in line.split() if not part.startswith('-')]
    for requirement in map(Requirement, lines):
        assert str(requirement.specifier) == pins()[canonicalize_name(requirement.name)]


def test_pre_commit_has_the_same_ruff():
    hooks = (ROOT / '.pre-commit-config.yaml').read_text()
    assert re.search(r'ruff-pre-commit\n +rev: v(\S+)', hooks)[1] == pins()['ruff'].removeprefix('==')


def test_the_version_is_in_the_changelog_and_the_citation():
    assert f'## {check_env.__version__}\n' in (ROOT / 'CHANGELOG.md').read_text()
    assert f'version: {check_env.__version__}\n' in (ROOT / 'CITATION.cff').read_text()


def test_metadata(built):
    metadata = built.metadata
    assert metadata['Version'] == check_env.__version__
    extras = {'tracking', 'segmentation', 'all', 'remote', 'deployment', 'explorer', 'test', 'docs'}
    assert set(metadata.get_all('Provides-Extra')) == extras
    for requirement in map(Requirement, metadata.get_all('Requires-Dist')):
        name = canonicalize_name(requirement.name)
        assert not AMBIGUOUS.fullmatch(name), f'{requirement}: pip would install it beside a fork'
        tested = pins()[name].removeprefix('==')
        assert requirement.specifier.contains(tested), f'{requirement} rules out the tested version {tested}'


def test_each_fork_replaces_a_requirement_and_each_toolbox_has_a_fork():
    """install.py reads what a fork replaces from the comments."""
    originals = [
        canonicalize_name(name)
        for line in FILES['onedl'].read_text().splitlines()
        if not line.startswith('#')
        for name in line.partition('  # ')[2].split(', ')
    ]
    assert set(originals) <= set(pins())
    toolboxes = {name for name in pins() if AMBIGUOUS.fullmatch(name) and name.startswith('mm')}
    assert toolboxes - set(originals) == {'mmtrack'}
