"""What the site shows besides the pages in ``docs``, as a Sphinx extension.

Pages are Markdown files that also read well in the repository. Those outside of ``docs`` (the README, the methods'
READMEs, the changelog) are copied into it, and the API reference is written from the packages. The names of written
files end with ``.markdown`` and ``.rst``; git ignores them.
"""

import importlib
import inspect
import os
import pkgutil
import pydoc
import re
from pathlib import Path
from types import ModuleType
from typing import TypeVar

from docutils.nodes import Element
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.pycode import ModuleAnalyzer

import mmvidmae

DOCS = Path(__file__).resolve().parent
ROOT = DOCS.parent


def mounted_pages() -> dict[Path, str]:
    """The document's name of each page outside of ``docs``, by the page's path."""
    pages = {ROOT / f'{name}.md': name.lower() for name in ('README', 'CHANGELOG', 'CONTRIBUTING')}
    for path in sorted(ROOT.glob('configs/**/README.md')):
        name = '-'.join(path.parent.relative_to(ROOT / 'configs').parts) or 'overview'
        pages[path] = f'methods/{name}'
    return pages


def site_links(text: str, source: Path, pages: dict[Path, str]) -> str:
    """A page's text with its relative links as the site has them.

    A link to a page of the site leads to it, and so does a link to a folder whose README is one. Other files are
    copied to the site. Folders that the site does not have lose their link.

    Args:
        text (str): Markdown.
        source (Path): The page's file, which its links are relative to.
        pages (dict[Path, str]): See :func:`mounted_pages`.
    """

    def resolve(link: re.Match) -> str:
        label, name, anchor = link['label'], link['name'], link['anchor'] or ''
        path = (source.parent / name).resolve()
        if path.is_dir():
            if not (path / 'README.md').exists():
                return f'[{label}]' if link['image'] else label
            path /= 'README.md'
        if path in pages:
            target = f'/{pages[path]}.markdown'.replace('/readme.markdown', '/index.md')
        else:
            target = f'/{os.path.relpath(path, DOCS)}'
        return f'{link["image"]}[{label}]({target}{anchor})'

    links = r'(?P<image>!?)\[(?P<label>[^\]]*)\]\((?!\w+:|#|/)(?P<name>[^)\s#]+)(?P<anchor>#[^)\s]*)?\)'
    return re.sub(links, resolve, text)


def write_all(files: dict[Path, str]) -> None:
    """Write those files that do not have this text, so that Sphinx reads no page in vain, and remove old ones."""
    for path in [*DOCS.glob('*.markdown'), *DOCS.glob('methods/*.markdown'), *DOCS.glob('api/*.rst')]:
        if path not in files:
            path.unlink()
    for path, text in files.items():
        if not path.exists() or path.read_text('utf-8') != text:
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, 'utf-8')


INTERNAL = re.compile(r'mmvidmae\.(compat|version)\b')


def modules_of(package: ModuleType) -> list[ModuleType]:
    """The modules and packages directly in a package, without the internal ones."""
    names = [f'{package.__name__}.{info.name}' for info in pkgutil.iter_modules(package.__path__)]
    return [importlib.import_module(name) for name in names if not INTERNAL.match(name)]


def packages(package: ModuleType = mmvidmae) -> list[ModuleType]:
    """A package and those in it, the innermost first."""
    inner = [module for module in modules_of(package) if hasattr(module, '__path__')]
    return [found for module in inner for found in packages(module)] + [package]


def full_name(value: object) -> str:
    """Module and name of a class or function where it is defined; empty for anything else."""
    return f'{value.__module__}.{value.__qualname__}' if inspect.isclass(value) or inspect.isfunction(value) else ''


class Reference:
    """The pages of the API reference, one a package.

    A page has what the package's ``__all__`` names, then what else the package's modules define. What several packages
    export is documented with the innermost.

    Attributes:
        places (dict[str, str]): Where a class or function is documented, by its full name.
        pages (dict[str, str]): reStructuredText of a package's page, by the package's name.
    """

    def __init__(self) -> None:
        self.places: dict[str, str] = {}
        found = packages()
        exported = {package: self._exported(package) for package in found}
        pages = {package.__name__: self._page(package, exported[package]) for package in found}
        self.pages = {name: text for name, text in pages.items() if text}

    def _exported(self, package: ModuleType) -> list[str]:
        names = []
        for name in getattr(package, '__all__', ()):
            key = full_name(getattr(package, name))
            if key and key not in self.places:
                self.places[key] = f'{package.__name__}.{name}'
                names.append(name)
        return names

    def _page(self, package: ModuleType, exported: list[str]) -> str:
        """The page of a package; empty if there is nothing to document."""
        title = package.__name__
        parts = [f'{title}\n{"=" * len(title)}', f'.. automodule:: {title}\n   :no-members:']
        if exported:
            parts.append('.. autosummary::\n   :nosignatures:\n\n' + '\n'.join(f'   {name}' for name in exported))
        for name in exported:
            kind = 'class' if inspect.isclass(getattr(package, name)) else 'function'
            parts.append(f'.. auto{kind}:: {name}')
        for module in modules_of(package):
            if not hasattr(module, '__path__'):
                parts += self._module(module)
        return '\n\n'.join(parts) + '\n' if len(parts) > 2 else ''

    def _module(self, module: ModuleType) -> list[str]:
        """The section of a module that defines more than is exported."""
        own = {name: full_name(value) for name, value in vars(module).items() if not name.startswith('_')}
        own = {name: key for name, key in own.items() if key == f'{module.__name__}.{name}'}
        rest = [name for name, key in own.items() if key not in self.places and inspect.getdoc(getattr(module, name))]
        constants = ModuleAnalyzer.for_module(module.__name__).find_attr_docs()
        rest += [name for scope, name in constants if not scope]
        if not rest:
            return []
        self.places.update((own[name], own[name]) for name in rest if name in own)
        title, exported = module.__name__, ', '.join(name for name in own if name not in rest)
        section = f'.. automodule:: {title}' + (f'\n   :exclude-members: {exported}' if exported else '')
        return [f'{title}\n{"-" * len(title)}', section]


def setup(app: Sphinx) -> None:
    """Write the files that Sphinx reads beside those in ``docs``, and connect what changes pages and references."""
    pages = mounted_pages()
    reference = Reference()
    files = {DOCS / 'api' / f'{name}.rst': text for name, text in reference.pages.items()}
    for path, name in pages.items():
        files[DOCS / f'{name}.markdown'] = site_links(path.read_text('utf-8'), path, pages)
    write_all(files)

    def read_page(app: Sphinx, name: str, content: list[str]) -> None:
        if (path := DOCS / f'{name}.md').exists():
            content[0] = site_links(content[0], path, pages)

    def find_ours(app: Sphinx, env: BuildEnvironment, node: pending_xref, text: Element) -> Element | None:
        """Link a class or function by the name of where it is defined, or by its own name where that is unique."""
        target = node.get('reftarget', '')
        if target.startswith('mmvidmae.') and isinstance(pydoc.locate(target), TypeVar):
            return text
        matches = {place for key, place in reference.places.items() if f'.{key}'.endswith(f'.{target}')}
        if node.get('refdomain') != 'py' or len(matches) != 1:
            return None
        domain = env.get_domain('py')
        return domain.resolve_xref(env, node['refdoc'], app.builder, 'obj', matches.pop(), node, text)

    def skip(app: Sphinx, kind: str, name: str, value: object, skipped: bool, options: object) -> bool | None:
        """Leave out the fields of named tuples: the class lists them."""
        return True if str(getattr(value, '__doc__', '')).startswith('Alias for field number') else None

    app.connect('source-read', read_page)
    app.connect('autodoc-skip-member', skip)
    app.connect('missing-reference', find_ours)
