"""Where a figure comes from: the machine and the commit."""

import os
import platform
import re
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import mmengine
import torch

ROOT = Path(__file__).resolve().parents[2]


def machine() -> dict[str, Any]:
    """Versions and machine of the figures."""
    info = Path('/proc/cpuinfo')
    name = re.search(r'model name\s*: (.*)', info.read_text()) if info.exists() else None
    return dict(
        machine=platform.machine(),
        processor=name[1] if name else platform.processor(),
        cores=os.cpu_count(),
        python=platform.python_version(),
        torch=torch.__version__,
        mmengine=mmengine.__version__,
    )


@cache  # a later commit is not the code that runs
def git_commit() -> str:
    """Commit of this checkout at the first call, with ``+`` if tracked files differ from it, or ``'unknown'``."""

    def git(*arguments: str) -> str:
        return subprocess.run(['git', *arguments], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()

    try:
        return git('rev-parse', '--short=10', 'HEAD') + ('+' if git('status', '--porcelain', '-uno') else '')
    except (OSError, subprocess.CalledProcessError):
        return 'unknown'
