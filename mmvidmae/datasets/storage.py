"""Byte ranges of files on a local disk or in remote storage, with a bounded cache."""

import hashlib
import json
import os
import re
import tempfile
import threading
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from mmvidmae.utils.files import atomic_write

from .readers import VideoReadError
from .shard_index import FORMAT
from .sources import cache_path

_SECRET = re.compile(r'auth|connection_string|cookie|credential|header|key|passw|sas|secret|signature|token', re.I)
_BLOCK = 8 * 2**20


class Storage:
    """A folder of files, of which byte ranges are read.

    Local files are read with the operating system's calls. All else is read through fsspec. An object can be copied
    and pickled: connections belong to a process.

    Args:
        url: A folder, or a URL that fsspec knows, such as ``https://host/k400`` or ``s3://bucket/k400``.
        options: Arguments of fsspec's file system, without secrets.
        timeout: Time limit of an answer in seconds.
        requests: Number of requests at the same time in one process.
        cache: ``dict(folder=..., gigabytes=...)``: a local folder for what was read from remote storage, and its
            largest size. None for no cache.
        version: What the cached content belongs to. With another one, nothing that was cached before is used.

    Raises:
        ImportError: If the package for this kind of URL is missing. The message names it.
        ValueError: If there are secrets in the URL or the options.
    """

    def __init__(
        self,
        url: str,
        options: dict[str, Any] | None = None,
        timeout: float = 30,
        requests: int = 16,
        cache: dict[str, Any] | None = None,
        version: str = '',
    ) -> None:
        from fsspec.utils import get_protocol

        self._arguments = url, options, timeout, requests, cache, version
        self.is_local = get_protocol(url) in ('file', 'local')
        self.url = url.removeprefix('file://').removeprefix('local://') if self.is_local else url
        self.options, self.timeout, self.requests, self._version = options or {}, timeout, requests, version
        _refuse_secrets(self.url, self.options)
        self._cache = BoundedCache(**cache) if cache and not self.is_local else None
        self._expected: dict[tuple[str, int, int], Future | None] = {}
        self._pool: ThreadPoolExecutor | None = None
        self._pid = 0
        if not self.is_local:
            self._open()

    def __reduce__(self) -> tuple:
        return Storage, self._arguments

    def path(self, name: str) -> str:
        """Path or URL of a file."""
        return os.path.join(self.url, name) if self.is_local else f'{self.url.rstrip("/")}/{name}'

    def expect(self, name: str, offset: int, size: int) -> None:
        """Begin to read a range that :meth:`read` will soon ask for, without waiting."""
        place = name, offset, size
        if self._pid != os.getpid():  # threads do not survive a fork
            self._expected, self._pool, self._pid = {}, None, os.getpid()
        if place in self._expected:
            return
        if self.is_local:
            self._expected[place] = None
            _read_ahead(self.path(name), offset, size)
            return
        self._pool = self._pool or ThreadPoolExecutor(self.requests)
        self._expected[place] = self._pool.submit(self._read, name, [(offset, size)])

    def forget(self) -> None:
        """Forget the expected ranges."""
        for future in self._expected.values():
            if future:
                future.cancel()
        self._expected.clear()

    def read(self, name: str, ranges: Sequence[tuple[int, int]], label: str = '') -> list[bytes]:
        """Read ranges (offset, size) of a file, at the same time.

        Args:
            name: Name of the file.
            ranges: The ranges.
            label: Path in the message of an error; by default that of the file.

        Raises:
            VideoReadError: If the file is missing, too short, or cannot be read.
        """
        try:
            future = self._expected.pop((name, *ranges[0]), None) if len(ranges) == 1 else None
            return future.result() if future else self._read(name, ranges)
        except VideoReadError as failure:
            raise VideoReadError(label or failure.path, failure.reason) from failure.__cause__

    def _read(self, name: str, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        path = self.path(name)
        if not self._cache:
            return self._fetch(path, ranges)
        keys = [f'{self._version}:{path}:{offset}:{size}' for offset, size in ranges]
        found = {key: self._cache.get(key, size) for key, (_, size) in zip(keys, ranges, strict=True)}
        missing = [(key, place) for key, place in zip(keys, ranges, strict=True) if found[key] is None]
        if missing:
            for (key, _), data in zip(missing, self._fetch(path, [place for _, place in missing]), strict=True):
                found[key] = data
                self._cache.put(key, data)
        return [found[key] for key in keys]

    def _fetch(self, path: str, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        if self.is_local:
            try:
                with open(path, 'rb', 0) as file:
                    parts = []
                    for offset, size in ranges:
                        file.seek(offset)
                        parts.append(file.read(size))
            except OSError as error:
                raise VideoReadError(path, error.strerror or str(error)) from error
        else:
            parts = self._download(path, ranges)
        for (offset, size), part in zip(ranges, parts, strict=True):
            if len(part) < size:
                raise _cut_off(path, offset + size)
            if len(part) > size:
                reason = 'the server sends whole files: it does not know byte ranges'
                raise VideoReadError(path, reason) from OSError(reason)
        return parts

    def _download(self, path: str, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        try:
            files, inside = self._open()[0], self._open(path)[1]
            limit = dict(timeout=self.timeout) if getattr(files, 'async_impl', False) else {}
            starts, sizes = zip(*ranges, strict=True)
            ends = [start + size for start, size in ranges]
            parts = files.cat_ranges([inside] * len(sizes), list(starts), ends, on_error='return', **limit)
        except Exception as error:
            parts = [error]
        for number, part in enumerate(parts):
            if isinstance(part, FileNotFoundError):
                raise VideoReadError(path, 'there is no such file') from part
            if isinstance(part, Exception):
                if getattr(part, 'status', None) == 416:
                    raise _cut_off(path, sum(ranges[number])) from None
                reason = self._explain(part)
                raise VideoReadError(path, reason) from (part if isinstance(part, OSError) else OSError(reason))
        return parts

    def _open(self, path: str = '') -> tuple[Any, str]:
        """fsspec's file system and its name of a path. fsspec keeps one per thread."""
        from fsspec.core import url_to_fs

        return url_to_fs(path or self.url, **self.options)

    def _explain(self, error: Exception) -> str:
        text = str(error) or type(error).__name__
        status = getattr(error, 'status', None)
        if status in (401, 403) or isinstance(error, PermissionError) or 'Credential' in type(error).__name__:
            return f'access is denied; are the credentials in the environment (docs/shards.md)? {text}'
        if isinstance(error, TimeoutError) or 'Timeout' in type(error).__name__:
            return f'no answer within {self.timeout:g} s'
        return text

    def copy_index(self, name: str) -> str:
        """Copy a remote index file to the cache folder of scans, unless a copy of this index is there.

        Returns:
            Path of the copy.

        Raises:
            FileNotFoundError: If there is no index.
            OSError: If it cannot be read.
            ValueError: If it is damaged or no index.
        """
        path = self.path(name)
        try:
            length = int.from_bytes(self._fetch(path, [(0, 8)])[0], 'little')
            if length > 100 * 2**20:
                raise ValueError(f'{path} is no index of shards')
            header = json.loads(self._fetch(path, [(8, length)])[0])
            identity = json.loads(header.pop('__metadata__')[FORMAT])['id']
            size = 8 + length + max(column['data_offsets'][1] for column in header.values())
            copy = cache_path('shards', identity.encode(), '.safetensors')
            if not copy.exists() or copy.stat().st_size != size:
                blocks = [(start, min(_BLOCK, size - start)) for start in range(0, size, _BLOCK)]
                with atomic_write(copy) as part, part.open('wb') as file:
                    for first in range(0, len(blocks), self.requests):
                        file.writelines(self._fetch(path, blocks[first : first + self.requests]))
        except VideoReadError as failure:
            kind = FileNotFoundError if isinstance(failure.__cause__, FileNotFoundError) else OSError
            raise kind(f'The index of the shards cannot be read: {failure}') from failure
        except (KeyError, TypeError, AttributeError, UnicodeDecodeError, json.JSONDecodeError) as error:
            raise ValueError(f'{path} is no index of shards') from error
        return str(copy)


class BoundedCache:
    """A local folder of byte strings, of which the least recently used ones are removed. Several processes may share
    it; each may exceed the size by one percent, or by one entry.

    Args:
        folder: The folder, which is for this alone.
        gigabytes: Its largest size in 10^9 bytes.
    """

    def __init__(self, folder: str | os.PathLike, gigabytes: float) -> None:
        self.folder, self.limit = Path(folder), gigabytes * 1e9
        self.folder.mkdir(parents=True, exist_ok=True)
        self._written = self.limit  # measure at the first write
        self._lock = threading.Lock()

    def get(self, key: str, size: int) -> bytes | None:
        """Return an entry of a known size, or None if it is not there."""
        path = self._path(key)
        try:
            data = path.read_bytes()
            os.utime(path)
        except OSError:
            return None
        return data if len(data) == size else None

    def put(self, key: str, data: bytes) -> None:
        """Keep an entry. If the disk refuses it, it is not kept."""
        path = self._path(key)
        try:
            path.parent.mkdir(exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
                file.write(data)
            os.replace(file.name, path)
        except OSError:
            self._written = self.limit  # perhaps the disk is full: make room
        with self._lock:
            self._written += len(data)
            if self._written > self.limit / 100:
                self._written = 0
                self._make_room()

    def _path(self, key: str) -> Path:
        name = hashlib.sha256(os.fsencode(key)).hexdigest()
        return self.folder / name[:2] / name[2:32]

    def _make_room(self) -> None:
        entries = []
        for folder in self.folder.glob('??'):
            for entry in os.scandir(folder):
                try:
                    status = entry.stat()
                    entries.append((status.st_mtime_ns, status.st_size, entry.path))
                except OSError:  # another process has removed it
                    continue
        total = sum(size for _, size, _ in entries)
        for _, size, path in sorted(entries):
            if total <= self.limit:
                return
            Path(path).unlink(missing_ok=True)
            total -= size


def _read_ahead(path: str, offset: int, size: int) -> None:
    """Ask the operating system to read a range of a file, where it can be asked."""
    if not hasattr(os, 'posix_fadvise'):
        return
    try:
        file = os.open(path, os.O_RDONLY)
    except OSError:  # reading will fail with a message
        return
    try:
        os.posix_fadvise(file, offset, size, os.POSIX_FADV_WILLNEED)
    except OSError:
        pass
    finally:
        os.close(file)


def _cut_off(path: str, end: int) -> VideoReadError:
    return VideoReadError(path, f'the shard is cut off before byte {end}; copy or make it again')


def _refuse_secrets(url: str, options: dict[str, Any], parent: str = 'storage_options') -> None:
    """Refuse credentials in what a config holds, because configs are written to logs and checkpoints."""
    place = None
    parts = urlsplit(url)
    if parts.password or (parts.username and '://' in url) or _SECRET.search(parts.query):
        place = 'the URL of the shards'
    for name, value in options.items():
        if _SECRET.search(str(name)):
            place = f'{parent}[{name!r}]'
        elif isinstance(value, dict):
            _refuse_secrets('', value, f'{parent}[{name!r}]')
    if place:
        raise ValueError(
            f'{place} may hold a secret, and configs are copied to logs and checkpoints. Put credentials where the '
            "client of the storage looks for them: its environment variables and files, or fsspec's (docs/shards.md)"
        )
