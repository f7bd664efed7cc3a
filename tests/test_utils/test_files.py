"""atomic_write: whole files or none, and nothing of a killed process."""

import subprocess
import sys

import pytest

from mmvidmae.utils.files import atomic_write


def test_a_failed_write_leaves_the_file_that_was_there(tmp_path):
    path = tmp_path / 'scores.json'
    path.write_text('old')

    def fail() -> None:
        with atomic_write(path) as part:
            part.write_text('half')
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert path.read_text() == 'old'
    with atomic_write(path) as part:
        part.write_text('new')
        assert path.read_text() == 'old'
    assert path.read_text() == 'new'
    assert list(tmp_path.iterdir()) == [path]


WRITE = """
import sys, time
from mmvidmae.utils.files import atomic_write
with atomic_write(sys.argv[1]) as part:
    part.mkdir() if sys.argv[2] == 'folder' else part.write_text('half')
    print('writing', flush=True)
    time.sleep(60)
"""


@pytest.mark.parametrize('kind', ['file', 'folder'])
def test_what_a_killed_process_left_goes_with_the_next_write(tmp_path, kind):
    path = tmp_path / 'list [1].txt'
    processes = [
        subprocess.Popen([sys.executable, '-c', WRITE, path, kind], stdout=subprocess.PIPE, text=True) for _ in range(2)
    ]
    assert [process.stdout.readline() for process in processes] == ['writing\n'] * 2
    assert len(list(tmp_path.iterdir())) == 2, 'each process has a part of its own'
    processes[0].kill()
    processes[0].communicate()
    with atomic_write(path) as part:
        assert len(list(tmp_path.iterdir())) == 1, 'that of the process that still writes is left'
        part.write_text('whole')
    processes[1].kill()
    processes[1].communicate()
    with atomic_write(path) as part:
        part.write_text('whole')
    assert list(tmp_path.iterdir()) == [path]
