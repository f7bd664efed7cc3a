"""Imports of the package lead down, from floor to floor and from module to module.

Run as a program it prints the picture: ``python tests/test_packaging/test_import_floors.py``.
"""

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[2] / 'mmvidmae'
FLOORS = (
    'version',
    'utils',
    'structures',
    'compat',
    'registry',
    'models.layers',
    'models.losses',
    'models.masking',
    'models.heads',
    'models.backbones',
    'models.necks',
    'models.selfsup',
    'models.propagation',
    'models.trackers',
    'models.segmentors',
    'models',
    'converters',
    'datasets',
    'evaluation',
    'visualization',
    'engine',
    'deployment',
    'apis',
)
"""From the lowest up: a module imports from its own floor and those before it."""


def modules() -> dict[str, Path]:
    """Files of the package by module name, as ``models.layers.blocks``; a package by its folder's."""
    files = (path.relative_to(PACKAGE) for path in sorted(PACKAGE.rglob('*.py')) if '.mim' not in path.parts)
    return {'.'.join(path.with_suffix('').parts).removesuffix('.__init__'): PACKAGE / path for path in files}


def imports(name: str, path: Path, known: dict[str, Path]) -> Iterator[tuple[str, int]]:
    """Modules of the package that a module imports anywhere in its code, with the lines."""
    package = name.split('.') if path.name == '__init__.py' else name.split('.')[:-1]
    for node in ast.walk(ast.parse(path.read_text('utf-8'))):
        if isinstance(node, ast.Import):
            found = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level:
            base = '.'.join(['mmvidmae', *package[: len(package) - node.level + 1], *filter(None, [node.module])])
            found = [f'{base}.{alias.name}' for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            found = [f'{node.module}.{alias.name}' for alias in node.names]
        else:
            continue
        for target in found:
            parts = target.split('.')
            if parts[0] != 'mmvidmae':
                continue
            while parts[1:] and '.'.join(parts[1:]) not in known:  # a name in a module
                parts.pop()
            if parts[1:] and '.'.join(parts[1:]) != name:
                yield '.'.join(parts[1:]), node.lineno


def floor(name: str) -> str:
    """Floor of a module."""
    parts = name.split('.')
    two = '.'.join(parts[:2])
    return two if two in FLOORS else parts[0]


def edges() -> list[tuple[str, str, int]]:
    """All imports: module, imported module, line."""
    known = modules()
    return [
        (name, target, line)
        for name, path in known.items()
        if name != '__init__'
        for target, line in imports(name, path, known)
    ]


def test_every_module_has_a_floor():
    assert {floor(name) for name in modules() if name != '__init__'} <= set(FLOORS)


def test_imports_lead_down():
    up = [
        f'mmvidmae.{name}:{line} imports mmvidmae.{target}'
        for name, target, line in edges()
        if FLOORS.index(floor(target)) > FLOORS.index(floor(name))
    ]
    assert not up, '\n'.join(up)


def test_no_modules_import_each_other():
    graph: dict[str, set[str]] = {}
    for name, target, _ in edges():
        if not name.startswith(f'{target}.'):  # a package's own __init__ is loaded before its modules in any case
            graph.setdefault(name, set()).add(target)
    packages = {name for name, path in modules().items() if path.name == '__init__.py'}
    leaves = {name: {target for target in targets if target not in packages} for name, targets in graph.items()}
    try:
        TopologicalSorter(leaves).prepare()
    except CycleError as error:
        raise AssertionError(' imports '.join(error.args[1])) from None


def main() -> None:
    picture: dict[str, set[str]] = {}
    for name, target, _ in edges():
        if floor(name) != floor(target):
            picture.setdefault(floor(name), set()).add(floor(target))
    for name in reversed(FLOORS):
        print(f'{name:<20} -> {", ".join(sorted(picture.get(name, ()), key=FLOORS.index)) or "nothing"}')


if __name__ == '__main__':
    main()
