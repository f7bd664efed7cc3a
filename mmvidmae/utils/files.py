"""Files that are there as a whole or not at all, and their digests."""

import glob
import hashlib
import os
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PARTIAL = '.part'
"""Suffix of what is being written."""


def file_sha256(path: str | Path) -> str:
    """SHA-256 of a file in hexadecimal digits. The file is read in blocks."""
    digest = hashlib.sha256()
    with open(path, 'rb') as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


@contextmanager
def atomic_write(path: str | Path, sync: bool = False) -> Iterator[Path]:
    """Write a file or folder that appears under its name only when it is complete.

    The caller writes to the path that it gets, which is beside ``path`` and belongs to this process alone. At the end
    the result gets its name. If an error is raised, it is removed. What a killed process of this machine left is
    removed by the next write of the same file.

    Args:
        path: Final path. Missing parent folders are created.
        sync: Whether a file must reach the disk before it gets its name, so that it also survives a power failure.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    prefix = f'.{path.name}.{socket.gethostname()}.'
    for stale in path.parent.glob(f'{glob.escape(prefix)}*{PARTIAL}'):
        if not _is_running(stale.name.removeprefix(prefix).removesuffix(PARTIAL)):
            _remove(stale)
    part = path.with_name(f'{prefix}{os.getpid()}{PARTIAL}')
    _remove(part)
    try:
        yield part
        if sync:
            with part.open('rb') as file:
                os.fsync(file.fileno())
        part.replace(path)
    finally:
        _remove(part)


def _is_running(process: str) -> bool:
    try:
        os.kill(int(process), 0)
    except (ProcessLookupError, OverflowError, ValueError):
        return False
    except PermissionError:
        pass
    return True


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
