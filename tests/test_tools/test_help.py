"""``--help`` answers at once: no program imports anything that takes long before it has read its arguments."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = [
    str(path.relative_to(ROOT)) for path in sorted(ROOT.glob('tools/**/*.py')) if '__main__' in path.read_text('utf-8')
]
SLOW = ('av', 'cv2', 'decord', 'matplotlib', 'mmcv', 'mmengine', 'mmpretrain', 'numpy', 'rich', 'scipy', 'torch')

ASK_ALL = f"""
import contextlib, io, json, pathlib, runpy, sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition('.')[0] in {SLOW}:
            raise ImportError(name + ' is imported before --help is answered')

sys.meta_path.insert(0, Refuse())
answers = {{}}
for program in sys.argv[1:]:
    known, path, out = set(sys.modules), list(sys.path), io.StringIO()
    sys.argv = [program, '--help']
    sys.path.insert(0, str(pathlib.Path(program).resolve().parent))
    try:
        with contextlib.redirect_stdout(out):
            runpy.run_path(program, run_name='__main__')
    except SystemExit as end:
        answers[program] = [end.code, out.getvalue()]
    except ImportError as error:
        answers[program] = [str(error), '']
    sys.path[:] = path
    for name in set(sys.modules) - known:
        del sys.modules[name]
print(json.dumps(answers))
"""


@pytest.fixture(scope='module')
def answers():
    """Exit code and output of ``--help`` of each program."""
    command = [sys.executable, '-c', ASK_ALL, *PROGRAMS]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


@pytest.mark.parametrize('program', PROGRAMS)
def test_help_imports_nothing_that_takes_long(answers, program):
    code, text = answers[program]
    assert code in (0, None), code
    assert text.startswith(f'usage: {Path(program).name}')


def test_the_converter_names_all_formats(answers):
    from mmvidmae.converters import POS_INTERP, SOURCES, TARGETS

    text = ''.join(answers['tools/model_converters/convert.py'][1].split())
    choices = [set(found.split(',')) for found in re.findall(r'\{([\w,-]+)\}', text)]
    for expected in ({'auto', *SOURCES}, set(TARGETS), set(POS_INTERP)):
        assert expected in choices
