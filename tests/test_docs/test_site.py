"""What the documentation site makes of the repository's pages and packages; ``make docs`` builds it."""

import importlib
import subprocess
import sys

import pytest
from docs_pages import ROOT

sys.path.insert(0, str(ROOT / 'docs'))

import site_sources


@pytest.fixture(scope='module')
def reference():
    return site_sources.Reference()


@pytest.mark.parametrize(
    ('page', 'text', 'expected'),
    [
        ('README.md', '[a](docs/install.md#what-works-here)', '[a](/install.md#what-works-here)'),
        ('README.md', '[a](configs/dropmae#citation)', '[a](/methods/dropmae.markdown#citation)'),
        ('README.md', '![a](docs/images/demo_loss.png)', '![a](/images/demo_loss.png)'),
        ('configs/dropmae/README.md', '[a](../../docs/recipes.md)', '[a](/recipes.md)'),
        ('configs/dropmae/README.md', '[a](../../README.md)', '[a](/index.md)'),
        ('docs/install.md', '[`a`](../requirements) b', '`a` b'),  # the site has no such folder
        ('docs/install.md', '[a](../setup.py)', '[a](/../setup.py)'),  # Sphinx copies the file
        (
            'docs/results/README.md',
            '[a](https://x.y) [b](#c) [d](mailto:e@f)',
            '[a](https://x.y) [b](#c) [d](mailto:e@f)',
        ),
    ],
)
def test_links_of_a_page(page, text, expected):
    assert site_sources.site_links(text, ROOT / page, site_sources.mounted_pages()) == expected


@pytest.mark.slow
def test_the_site_builds_without_warnings(tmp_path):
    command = [sys.executable, '-m', 'sphinx', '-W', '--keep-going', '-q', '-b', 'html', '-d', tmp_path / 'cache']
    build = subprocess.run([*command, 'docs', tmp_path / 'site'], cwd=ROOT, capture_output=True, text=True, check=False)
    assert build.returncode == 0, build.stderr[-4000:]
    assert 'mmvidmae' in (tmp_path / 'site/index.html').read_text()


def test_every_readme_of_the_configs_is_a_page():
    assert set(ROOT.glob('configs/**/README.md')) < set(site_sources.mounted_pages())


def test_all_that_packages_export_is_in_the_reference_once(reference):
    directives = [line for page in reference.pages.values() for line in page.splitlines() if ':: ' in line]
    for package in site_sources.packages():
        for name in getattr(package, '__all__', ()):
            value = getattr(package, name)
            if key := site_sources.full_name(value):
                place, _, place_name = reference.places[key].rpartition('.')
                assert getattr(importlib.import_module(place), place_name) is value
                kind = 'class' if isinstance(value, type) else 'function'
                assert directives.count(f'.. auto{kind}:: {name}') == 1


def test_the_reference_has_modules_that_no_package_exports(reference):
    assert '.. automodule:: mmvidmae.registry' in reference.pages['mmvidmae']
    assert not any('mmvidmae.compat' in page for page in reference.pages.values())


def test_what_two_packages_export_is_documented_with_the_inner_one(reference):
    assert (
        reference.places['mmvidmae.datasets.transforms.formatting.PackPairs']
        == 'mmvidmae.datasets.transforms.PackPairs'
    )
    assert 'PackPairs' not in reference.pages['mmvidmae.datasets']
