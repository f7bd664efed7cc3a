"""Run mmtrack's tools through the bridge, or let other programs do so.

    python -m mmvidmae.compat.mmtrack TOOL ARGUMENTS...    TOOL: train, test, a file of its tools, a script
    python -m mmvidmae.compat.mmtrack install [FOLDER]     for every program of this environment, so for mim too
    python -m mmvidmae.compat.mmtrack uninstall [FOLDER]

Both spellings of the launcher's local rank are taken, which mmtrack's own tools do not do. ``install`` writes a .pth
file and a module into the environment's site-packages (or FOLDER): from then on the first ``import mmtrack`` enables
the bridge, with its warning; Python's start-up does nothing else.
"""

import importlib.util
import runpy
import shutil
import sys
import sysconfig
from pathlib import Path

from . import enable

NAME = '_mmvidmae_mmtrack_bridge'


def install(folder: Path) -> None:
    """Write the import hook into a site directory."""
    shutil.copyfile(Path(__file__).with_name('import_hook.py'), folder / f'{NAME}.py')
    (folder / f'{NAME}.pth').write_text(f'import {NAME}\n')
    print(f'import mmtrack goes through the bridge: {folder / NAME}.pth')


def uninstall(folder: Path) -> None:
    """Take it out again."""
    for suffix in ('pth', 'py'):
        (folder / f'{NAME}.{suffix}').unlink(missing_ok=True)
    print(f'import mmtrack is as it was: {folder / NAME}.pth is gone')


def run_tool(tool: str, arguments: list[str]) -> None:
    """Run a tool of mmtrack, or a script."""
    enable()
    own = Path(importlib.util.find_spec('mmtrack').origin).parent / '.mim' / 'tools' / tool
    tool = next((str(path) for path in (own.with_suffix('.py'), Path(tool)) if path.is_file()), tool)
    if not Path(tool).is_file():
        sys.exit(f'{tool} is no file: name train, test, another tool of mmtrack, or a script')
    sys.argv = [tool, *(argument.replace('--local-rank', '--local_rank') for argument in arguments)]
    runpy.run_path(tool, run_name='__main__')


def main() -> None:
    if len(sys.argv) < 2 or sys.argv[1] in ('-h', '--help'):
        sys.exit(__doc__)
    command, *arguments = sys.argv[1:]
    if command not in ('install', 'uninstall'):
        run_tool(command, arguments)
        return
    folder = Path(arguments[0] if arguments else sysconfig.get_path('purelib'))
    if not folder.is_dir():
        sys.exit(f'{folder} is no folder')
    dict(install=install, uninstall=uninstall)[command](folder)


if __name__ == '__main__':
    main()
