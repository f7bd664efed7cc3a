"""Sources of clips: list files in MMAction2's format, and cached scans of folder trees."""

import hashlib
import json
import logging
import os
import re
import time
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Literal

from mmengine.logging import print_log

from mmvidmae.utils.files import atomic_write

VIDEO_SUFFIXES = frozenset(
    '.3gp .avi .flv .m2ts .m4v .mkv .mov .mp4 .mpeg .mpg .mts .ogv .ts .vob .webm .wmv'.split()  # noqa: SIM905
)
IMAGE_SUFFIXES = frozenset('.bmp .jpeg .jpg .png .tif .tiff .webp'.split())  # noqa: SIM905
MASK_FOLDERS = frozenset({'Annotations'})
"""Folders of label maps in DAVIS, YouTube-VOS and VIP. Their images are never clips."""

ClipKind = Literal['video', 'frames', 'image']

FILE_SUFFIXES: dict[ClipKind, frozenset[str]] = {'video': VIDEO_SUFFIXES, 'image': IMAGE_SUFFIXES}
"""Suffixes of the kinds of clip that are files."""

_LABELS = re.compile(r'(?:(?:\s*[,;]\s*|\s+)-?\d+)+[\s,;]*')
"""Labels after a path: integers in columns separated by white space, commas or semicolons."""

_QUOTED = re.compile(rf'(?:"(?P<double>(?:[^"]|"")+)"|\'(?P<single>[^\']+)\')(?:{_LABELS.pattern})?')
_ENDS_WITH_LABELS = re.compile(rf'{_LABELS.pattern}$')
_FILE_AND_MORE = {
    kind: re.compile('.*(?:' + '|'.join(map(re.escape, suffixes)) + r')["\']?[\s,;]', re.IGNORECASE)
    for kind, suffixes in FILE_SUFFIXES.items()
}

_ID, _SECONDS, _SPLIT = r'"?[\w-]{11}"?', r'"?\d+(?:\.\d+)?"?', '"?(?:train|val|validate|test)"?'
_KINETICS = re.compile(rf'.+,{_ID},{_SECONDS},{_SECONDS}(?:,.*)?|{_ID},{_SECONDS},{_SECONDS},{_SPLIT}(?:,.*)?')

_HEADER = 'these are headings of columns; remove the line or begin it with #'
_FILE_WORDS = frozenset(
    'clip_path file_name file_path filename filepath frame_dir path video_path youtube_id'.split()  # noqa: SIM905
)
_HEADER_WORDS = _FILE_WORDS | frozenset(
    'class class_id class_name category clip end file folder frames id is_cc label label_id label_name labels name '  # noqa: SIM905
    'num_frames split start target time_end time_start total_frames video video_id video_name'.split()
)


def natural_key(name: str) -> tuple:
    """Sort key that orders ``img2`` before ``img10``. Different names have different keys (``1`` and ``01`` too)."""
    return tuple(int(part) if part.isdecimal() else part for part in re.split(r'(\d+)', name)), name


def image_names(folder: str) -> list[str]:
    """List the image names in a folder in natural order, without hidden files."""
    names = (name for name in os.listdir(folder) if not name.startswith('.'))
    return sorted((name for name in names if _has_suffix(name, IMAGE_SUFFIXES)), key=natural_key)


def class_labels(clips: Sequence[str]) -> list[int]:
    """Label clips by the number of their class folder, which is the first folder of the path, in natural order.

    LaSOT's ``<class>/<sequence>/img`` and GOT-10k's ``<sequence>`` both label by the first folder. A clip needs one
    above itself to have a class; others have the label -1.
    """
    folders = [path.parts[0] if len((path := Path(clip)).parts) > 1 else None for clip in clips]
    classes = sorted({folder for folder in folders if folder is not None}, key=natural_key)
    labels = {None: -1, **{name: number for number, name in enumerate(classes)}}
    return [labels[folder] for folder in folders]


def parse_label(line: str) -> int:
    """Parse the label from a line that :func:`parse_line` accepts: its last column, or -1 if it has only a path."""
    labels = _ENDS_WITH_LABELS.search(line.strip())
    return int(re.findall(r'-?\d+', labels.group())[-1]) if labels else -1


def parse_line(line: str, kind: ClipKind) -> str:
    """Parse the path from one line of a list.

    Args:
        line: ``path [label ...]``, with columns separated by white space, commas or semicolons. The path may contain
            spaces and commas and may be quoted. All integers at the end of the line are labels, which pre-training
            does not use. In MMAction2's lists of frame folders, they are the number of frames and the label.
        kind: Kind of clip that the path names. A frame folder may be called ``0001``, a file may not.

    Returns:
        The path.

    Raises:
        ValueError: If the line has another format or is a column heading. The message gives the reason.
    """
    line = line.strip()
    if re.search(r'[\x00-\x08\x0e-\x1f]', line):
        raise ValueError('this is not text; is it a list file?')
    labels = _ENDS_WITH_LABELS.search(line)
    path = line[: labels.start()] if labels else line
    if quoted := _QUOTED.fullmatch(line):
        return quoted['single'] or quoted['double'].replace('""', '"')
    is_file = kind in FILE_SUFFIXES
    if is_file and _has_suffix(path, FILE_SUFFIXES[kind]):
        return path
    headings = [word.strip('"\'').lower() for word in re.split(r'[\s,;]+', line)]
    if 'youtube_id' in headings or _KINETICS.fullmatch(line):
        raise ValueError(
            "this is Kinetics' own table, which names no files; list the videos that you have with "
            'tools/dataset_converters/make_list.py'
        )
    if _HEADER_WORDS.issuperset(headings) and (is_file or len(headings) > 1 or headings[0] in _FILE_WORDS):
        raise ValueError(_HEADER)
    if not path:
        raise ValueError('there is no path')
    if is_file:
        if re.fullmatch(r'-?\d+', path):
            raise ValueError('a number stands where the path should be')
        if _FILE_AND_MORE[kind].match(path):
            raise ValueError('the label after the path must be an integer')
        if len(re.findall('[,;]', path)) > 1:
            raise ValueError(f'none of the columns names a{"n image" if kind == "image" else " video"}')
    return path


def read_list(ann_file: str, kind: ClipKind) -> list[str]:
    """Read the paths of a list file (see :func:`read_labeled_list`)."""
    return [path for path, _ in read_labeled_list(ann_file, kind)]


def read_labeled_list(ann_file: str, kind: ClipKind) -> list[tuple[str, int]]:
    """Read the paths and labels of a list file with one clip per line. Blank lines and lines starting with ``#`` are
    ignored.

    Args:
        ann_file: A text file in UTF-8.
        kind: Kind of clip that the paths name.

    Returns:
        The paths as written in the file, each with its label or -1, in file order.

    Raises:
        FileNotFoundError: If the file does not exist.
        ValueError: If a line is not ``path [label]``, for example a column heading (see :func:`parse_line`). The
            message gives the file, the line number and the line.
    """
    clips: list[tuple[str, int]] = []
    with open(ann_file, encoding='utf-8-sig', errors='surrogateescape') as file:
        lines = ((number, line.strip()) for number, line in enumerate(file, 1))
        for number, line in lines:
            if not line or line.startswith('#'):
                continue
            try:
                clips.append((parse_line(line, kind), parse_label(line)))
            except ValueError as error:
                raise _malformed(ann_file, number, line, error) from None
            if len(clips) == 1:
                first = number, line
    is_file = [kind in FILE_SUFFIXES and _has_suffix(path, FILE_SUFFIXES[kind]) for path, _ in clips[:2]]
    if is_file == [False, True] and clips[0][0] == first[1] and '/' not in first[1]:  # headings in words unknown to us
        raise _malformed(ann_file, *first, _HEADER)
    return clips


def _malformed(ann_file: str, number: int, line: str, problem: object) -> ValueError:
    return ValueError(f'{ann_file}:{number}: expected `path [label]`, got {line[:200]!a}: {problem}')


def scan(root: str, kind: ClipKind) -> list[str]:
    """Find the clips below a folder, at any depth, in natural order.

    Hidden entries are left out. Links are followed, each folder once. Unreadable folders and broken links are skipped;
    the log gives their number and lists the first ones.

    The result is cached unless something was skipped. The cache is valid while the modification times of all folders
    below ``root`` stay the same, that is, until a file or folder is added, removed or renamed. The log names the cache
    file when it is used. Delete the file or set ``MMVIDMAE_RESCAN=1`` to search again.

    Args:
        root: Folder to search.
        kind: With ``video`` or ``image``, every file with such a suffix is a clip. With ``frames``, every folder that
            contains images is a clip. Folders of label maps (``MASK_FOLDERS``) hold no images.

    Returns:
        Paths relative to ``root``.

    Raises:
        NotADirectoryError: If ``root`` is not a folder.
        OSError: If ``root`` cannot be read.
    """
    if not os.path.isdir(root):
        raise NotADirectoryError(f'There is no folder {root} to look for clips in')
    cache_file = cache_path('scan', kind.encode() + b':' + os.fsencode(os.path.realpath(root)), '.json')
    rescan = os.environ.get('MMVIDMAE_RESCAN', '0') not in ('', '0')
    clips = None if rescan else _from_cache(cache_file, root)
    if clips is not None:
        written = datetime.fromtimestamp(cache_file.stat().st_mtime)
        _log(
            f'{root}: {len(clips)} clips, from the cached search of {written:%Y-%m-%d %H:%M} ({cache_file}). '
            'Delete this file or set MMVIDMAE_RESCAN=1 to search again'
        )
        return clips
    with os.scandir(root):  # errors of the root itself are raised
        pass
    folders: dict[str, int] = {}
    skipped: list[str] = []
    clips = sorted(_walk(root, '', kind, folders, skipped, set()), key=natural_key)
    if skipped:
        listed = '; '.join(skipped[:5] + ['...'] * (len(skipped) > 5))
        _log(f'{len(skipped)} entries below {root} are skipped: {listed}', logging.WARNING)
    # A second change within the clock's resolution would go unnoticed: cache only folders not changed for two seconds.
    elif time.time_ns() - max(folders.values()) > 2_000_000_000:
        to_cache(cache_file, dict(root=root, kind=kind, folders=folders, clips=clips), f'The scan of {root}')
    return clips


def cache_dir() -> Path:
    """Cache folder of scans: ``$MMVIDMAE_CACHE``, else ``$XDG_CACHE_HOME/mmvidmae``, else ``~/.cache/mmvidmae``."""
    own = os.environ.get('MMVIDMAE_CACHE')
    return Path(own) if own else Path(os.environ.get('XDG_CACHE_HOME') or Path.home() / '.cache') / 'mmvidmae'


def _has_suffix(path: str, suffixes: frozenset[str]) -> bool:
    return os.path.splitext(path)[1].lower() in suffixes


def _walk(
    root: str, folder: str, kind: ClipKind, folders: dict[str, int], skipped: list[str], seen: set
) -> Iterator[str]:
    """Yield the clips of ``root/folder``. Record modification times in ns in ``folders`` and unreadable entries in
    ``skipped``."""
    path = os.path.join(root, folder)
    try:
        status = os.stat(path)
        if (status.st_dev, status.st_ino) in seen:
            return
        with os.scandir(path) as scanned:
            entries = [entry for entry in scanned if not entry.name.startswith('.')]
    except OSError as error:
        skipped.append(f'{folder}: {error.strerror}')
        return
    seen.add((status.st_dev, status.st_ino))
    folders[folder] = status.st_mtime_ns
    suffixes = FILE_SUFFIXES.get(kind, IMAGE_SUFFIXES)
    files, below = [], []
    for entry in entries:
        try:
            if entry.is_symlink():
                entry.stat()
            if entry.is_dir():
                below.append(entry.name)
            elif _has_suffix(entry.name, suffixes):
                files.append(entry.name)
        except OSError as error:
            skipped.append(f'{os.path.join(folder, entry.name)}: {error.strerror}')
    if kind in FILE_SUFFIXES:
        yield from (os.path.join(folder, name) for name in files)
    elif files:
        yield folder or '.'
    for name in below:
        if not (kind != 'video' and name in MASK_FOLDERS):
            yield from _walk(root, os.path.join(folder, name), kind, folders, skipped, seen)


def _from_cache(cache_file: Path, root: str) -> list[str] | None:
    try:
        cached = json.loads(cache_file.read_text())
        unchanged = all(os.stat(os.path.join(root, f)).st_mtime_ns == t for f, t in cached['folders'].items())
        return cached['clips'] if unchanged else None
    # the cache is missing, unreadable or damaged, or a folder was removed: scan
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def cache_path(kind: str, key: bytes, suffix: str) -> Path:
    """File in :func:`cache_dir` for what a key determines."""
    return cache_dir() / f'{kind}-{hashlib.sha256(key).hexdigest()[:32]}{suffix}'


def to_cache(cache_file: Path, content: dict, what: str) -> None:
    """Write a JSON file of the cache. If the disk refuses it, the log says that ``what`` is not remembered."""
    try:
        with atomic_write(cache_file) as part:
            part.write_text(json.dumps(content))
    except OSError as error:
        _log(f'{what} is not remembered: {error}', logging.WARNING)


def _log(message: str, level: int = logging.INFO) -> None:
    print_log(message.encode(errors='backslashreplace').decode(), 'current', level)  # names need not be UTF-8
