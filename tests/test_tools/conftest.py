"""Running the tools: in this process where possible, because a new one takes seconds to start."""

import os
import runpy
import socket
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def call_tool(monkeypatch, tmp_path):
    """A function ``call_tool(path, *arguments)`` that runs a tool from another folder in this process."""

    def call(path, *arguments):
        with monkeypatch.context() as patch:
            patch.chdir(tmp_path)
            patch.setattr(sys, 'argv', [str(path), *map(str, arguments)])
            runpy.run_path(str(ROOT / 'tools' / path), run_name='__main__')

    return call


@pytest.fixture
def start_tool(tmp_path):
    """A function ``start_tool(*command)`` that starts a process in another folder, where tiny_runs can be imported.

    It returns a function that waits for the end and gives the exit code and the last lines of the output.
    """

    def start(*command):
        with socket.socket() as free:
            free.bind(('127.0.0.1', 0))
            port = free.getsockname()[1]
        paths = os.pathsep.join((str(ROOT), str(ROOT / 'tests')))
        environment = dict(os.environ, PYTHON=sys.executable, PYTHONPATH=paths, PORT=str(port), OMP_NUM_THREADS='1')
        process = subprocess.Popen(
            [str(part) for part in command],
            cwd=tmp_path,
            env=environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

        def wait() -> tuple[int, str]:
            output = process.communicate(timeout=600)[0]
            return process.returncode, output[-4000:]

        return wait

    return start
