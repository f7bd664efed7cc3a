"""Where clips are listed: list files in MMAction2's format, and folder trees, whose scan is cached."""

import hashlib
import json
import os
import re
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from mmengine.logging import print_log

VIDEO_SUFFIXES = frozenset(
    '.3gp .avi .flv .m2ts .m4v .mkv .mov .mp4 .mpeg .mpg .mts .ogv .ts .vob .webm .wmv'.split()  # noqa: SIM905
)
IMAGE_SUFFIXES = frozenset('.bmp .jpeg .jpg .png .tif .tiff .webp'.split())  # noqa: SIM905
MASK_FOLDERS = frozenset({'Annotations'})
"""Folders that DAVIS, YouTube-VOS and VIP keep beside their frames: their images are label maps, never clips."""

ClipKind = Literal['video', 'frames']

_LINE = re.compile(r'(.+?)(?:\s+-?\d+)*')
_VIDEO_AND_MORE = re.compile('.*(?:' + '|'.join(map(re.escape, VIDEO_SUFFIXES)) + r')\s', re.IGNORECASE)


def natural_key(name: str) -> tuple:
    """Sorting key that orders ``img2`` before ``img10``, and is total (``1`` and ``01`` differ)."""
    return tuple(int(part) if part.isdecimal() else part for part in re.split(r'(\d+)', name)), name


def image_names(folder: str) -> list[str]:
    """The names of the images in a folder, in natural order; hidden files are left out."""
    return sorted((n for n in os.listdir(folder) if _has_suffix(n, IMAGE_SUFFIXES)), key=natural_key)


def parse_line(line: str, kind: ClipKind) -> str:
    """Reads the path off one line of a list.

    Args:
        line: ``path [label ...]``. The path may hold spaces; all integers at the end of the line are labels (or, in
            MMAction2's lists of frame folders, the number of frames and the label) and play no part in pre-training.
        kind: What the path should name: the folder of a sequence may be called ``0001``, a video may not.

    Returns:
        The path.

    Raises:
        ValueError: If the line is no such thing; the message says why.
    """
    path = _LINE.fullmatch(line.strip())[1]
    if not path.isprintable() and re.search(r'[\x00-\x08\x0e-\x1f]', path):
        raise ValueError('this is not text; is it a list file?')
    if kind == 'video' and re.fullmatch(r'-?\d+', path):
        raise ValueError('a number stands where the path should be')
    if re.search(r'[,;]\s*-?\d+$', path):
        raise ValueError('columns must be separated by spaces')
    if kind == 'video' and _VIDEO_AND_MORE.match(path) and os.path.splitext(path)[1].lower() not in VIDEO_SUFFIXES:
        raise ValueError('the label after the path must be an integer')
    return path


def read_list(ann_file: str, kind: ClipKind) -> list[str]:
    """Reads the paths of a list file: one clip a line; blank lines and lines that start with ``#`` are ignored.

    Args:
        ann_file: A text file in UTF-8.
        kind: What the paths name.

    Returns:
        The paths as they stand in the file, in its order.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: For a line that is not ``path [label]``; names the file, the line and what it holds.
    """
    paths = []
    with open(ann_file, encoding='utf-8-sig', errors='surrogateescape') as file:
        for number, line in enumerate(file, 1):
            if not line.strip() or line.lstrip().startswith('#'):
                continue
            try:
                paths.append(parse_line(line, kind))
            except ValueError as error:
                content = ascii(line.strip()[:200])
                raise ValueError(f'{ann_file}:{number}: expected `path [label]`, got {content}: {error}') from None
    return paths


def scan(root: str, kind: ClipKind) -> list[str]:
    """Finds the clips below a folder, at any depth, in natural order.

    Hidden entries are left out, links are followed (never in circles). The result is remembered in a cache, which
    holds as long as the modification times of all folders below ``root`` stay the same, that is, until a file or
    folder is added, removed or renamed.

    Args:
        root: The folder.
        kind: ``video``: every file with a video suffix is a clip. ``frames``: every folder that holds images is one,
            except those of label maps (``MASK_FOLDERS``).

    Returns:
        Paths relative to ``root``.

    Raises:
        NotADirectoryError: If ``root`` is no folder.
    """
    if not os.path.isdir(root):
        raise NotADirectoryError(f'There is no folder {root} to look for clips in')
    cache_file = (
        cache_dir() / f'scan-{hashlib.sha256(f"{kind}:{os.path.realpath(root)}".encode()).hexdigest()[:32]}.json'
    )
    clips = _from_cache(cache_file, root)
    if clips is None:
        folders: dict[str, int] = {}
        clips = sorted(_walk(root, '', kind, folders, set()), key=natural_key)
        # A folder changed within the clock's grain could change again unnoticed: remember it only once it has come to
        # rest.
        if time.time_ns() - max(folders.values()) > 2_000_000_000:
            _to_cache(cache_file, dict(root=root, kind=kind, folders=folders, clips=clips))
    return clips


def cache_dir() -> Path:
    """Where scans are remembered: ``$MMVIDMAE_CACHE``, else ``$XDG_CACHE_HOME/mmvidmae``, else
    ``~/.cache/mmvidmae``."""
    own = os.environ.get('MMVIDMAE_CACHE')
    return Path(own) if own else Path(os.environ.get('XDG_CACHE_HOME') or Path.home() / '.cache') / 'mmvidmae'


def _has_suffix(name: str, suffixes: frozenset[str]) -> bool:
    return not name.startswith('.') and os.path.splitext(name)[1].lower() in suffixes


def _walk(root: str, folder: str, kind: ClipKind, folders: dict[str, int], seen: set) -> Iterator[str]:
    """Yields the clips of ``root/folder`` and notes in ``folders`` when each folder was last modified, in ns."""
    path = os.path.join(root, folder)
    status = os.stat(path)
    if (status.st_dev, status.st_ino) in seen:
        return
    seen.add((status.st_dev, status.st_ino))
    folders[folder] = status.st_mtime_ns
    suffixes = VIDEO_SUFFIXES if kind == 'video' else IMAGE_SUFFIXES
    with os.scandir(path) as scanned:
        entries = [entry for entry in scanned if not entry.name.startswith('.')]
    files = [entry.name for entry in entries if _has_suffix(entry.name, suffixes) and not entry.is_dir()]
    if kind == 'video':
        yield from (os.path.join(folder, name) for name in files)
    elif files:
        yield folder or '.'
    for entry in entries:
        if entry.is_dir() and not (kind == 'frames' and entry.name in MASK_FOLDERS):
            yield from _walk(root, os.path.join(folder, entry.name), kind, folders, seen)


def _from_cache(cache_file: Path, root: str) -> list[str] | None:
    try:
        cached = json.loads(cache_file.read_text())
        unchanged = all(os.stat(os.path.join(root, f)).st_mtime_ns == t for f, t in cached['folders'].items())
        return cached['clips'] if unchanged else None
    except (
        OSError,
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
    ):  # none, unreadable, damaged, or a folder is gone: scan
        return None


def _to_cache(cache_file: Path, content: dict) -> None:
    """Writes aside and renames, so that no reader ever meets half a file."""
    try:
        cache_file.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile('w', dir=cache_file.parent, suffix='.part', delete=False) as file:
            json.dump(content, file)
        os.replace(file.name, cache_file)
    except OSError as error:
        print_log(f'The scan of {content["root"]} is not remembered: {error}', logger='current')
