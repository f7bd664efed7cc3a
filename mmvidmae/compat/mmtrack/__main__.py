"""Run a tool of mmtrack through the bridge: ``python -m mmvidmae.compat.mmtrack TOOL ARGUMENTS``.

TOOL is ``train``, ``test`` or the path of a script that imports mmtrack. Both spellings of the launcher's local rank
are taken, which mmtrack's own tools do not do.
"""

import importlib.util
import runpy
import sys
from pathlib import Path

from . import enable


def main() -> None:
    if len(sys.argv) < 2 or sys.argv[1] in ('-h', '--help'):
        sys.exit(__doc__)
    enable()
    tool = sys.argv[1]
    if tool in ('train', 'test'):
        package = Path(importlib.util.find_spec('mmtrack').origin).parent
        tool = str(package / '.mim' / 'tools' / f'{tool}.py')
    if not Path(tool).is_file():
        sys.exit(f'{tool} is no file: name train, test, or a script')
    sys.argv = [tool, *(argument.replace('--local-rank', '--local_rank') for argument in sys.argv[2:])]
    runpy.run_path(tool, run_name='__main__')


if __name__ == '__main__':
    main()
