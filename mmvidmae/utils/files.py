"""Files that are there as a whole or not at all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mmengine.dist import get_rank


@contextmanager
def atomic_write(path: str | Path) -> Iterator[Path]:
    """Give a path to write to, beside ``path``; it takes its place at the end, and goes away if something is raised.

    Folders on the way are made. Ranks that write the same file do not disturb each other.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f'.{path.name}.{get_rank()}.part')
    try:
        yield part
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
