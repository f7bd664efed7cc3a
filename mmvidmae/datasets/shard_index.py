"""Index of the clips in tar shards, as memory-mapped columns in one ``.safetensors`` file.

The file has one entry per clip in these columns, in the order of the clips:

- ``names`` (uint8) and ``name_ends`` (int64): all names in UTF-8, one after the other, and where each ends,
- ``shard`` (int32): number of the shard,
- ``member_ends`` (int64): number of members of all clips up to this one; a video has one, a frame folder one per frame,
- ``frames`` (int32): number of frames, 0 if the clip cannot be decoded,
- ``fps`` (float32): frames per second, 0 if unknown,
- ``label`` (int32): class, -1 if unknown.

``offset`` and ``size`` (int64) have one entry per member: the place of its bytes in the shard. The metadata has one
entry, which names the format. It is JSON with the kind of the clips, the shards (name, number of clips, size in bytes,
SHA-256) and an ``id``, the SHA-256 of all this.
"""

import hashlib
import json
import os
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from mmvidmae.utils.files import atomic_write

from .sources import ClipKind

INDEX_NAME = 'index.safetensors'
FORMAT = 'mmvidmae-shards-1'

_COLUMNS = dict(
    names=np.uint8,
    name_ends=np.int64,
    shard=np.int32,
    member_ends=np.int64,
    frames=np.int32,
    fps=np.float32,
    label=np.int32,
    offset=np.int64,
    size=np.int64,
)


class Shard(NamedTuple):
    """A tar file."""

    name: str
    num_clips: int
    size: int
    sha256: str


class ShardClip(NamedTuple):
    """A clip in a shard. ``ranges`` has (offset, size) in bytes of each member."""

    name: str
    shard: int
    ranges: list[tuple[int, int]]
    frames: int
    fps: float
    label: int


class ShardIndex(Sequence[ShardClip]):
    """Index of the clips in a set of shards. Opening reads almost nothing; processes share the mapped pages.

    Args:
        path: An index file.

    Attributes:
        kind (ClipKind): Kind of the clips.
        shards (list[Shard]): The shards, which are beside the index.
        id (str): Changes with every change of the index.

    Raises:
        FileNotFoundError: If it does not exist.
        ValueError: If it is damaged, truncated or no index.
    """

    def __init__(self, path: str | os.PathLike) -> None:
        from safetensors import SafetensorError, safe_open

        self.path = os.fspath(path)
        if not os.path.isfile(path):
            raise FileNotFoundError(f'There is no index {path}; tools/dataset_converters/make_shards.py writes it')
        try:
            with safe_open(path, 'pt') as file:
                if FORMAT not in (file.metadata() or {}):
                    raise ValueError(f'{path} is no index of shards ({FORMAT})')
                meta = json.loads(file.metadata()[FORMAT])
                self._columns = {name: file.get_tensor(name).numpy() for name in _COLUMNS}
            self.kind: ClipKind = meta['kind']
            self.shards = [Shard(**shard) for shard in meta['shards']]
            self.id: str = meta['id']
        except (SafetensorError, KeyError, TypeError) as error:
            raise ValueError(f'{path} is a damaged index; run make_shards.py again: {error}') from error

    def __reduce__(self) -> tuple:
        return ShardIndex, (self.path,)

    def __len__(self) -> int:
        return len(self._columns['shard'])

    def __getitem__(self, number: int) -> ShardClip:
        if not 0 <= number < len(self):
            raise IndexError(number)
        column = self._columns
        name = bytes(column['names'][slice(*self._span('name_ends', number))])
        members = slice(*self._span('member_ends', number))
        ranges = list(zip(column['offset'][members].tolist(), column['size'][members].tolist(), strict=True))
        numbers = (column[key][number].item() for key in ('frames', 'fps', 'label'))
        return ShardClip(os.fsdecode(name), int(column['shard'][number]), ranges, *numbers)

    def undecodable(self) -> list[str]:
        """Names of the clips that could not be decoded when the shards were made."""
        return [self[number].name for number in np.flatnonzero(self._columns['frames'] == 0).tolist()]

    def _span(self, ends: str, number: int) -> tuple[int, int]:
        ends = self._columns[ends]
        return int(ends[number - 1]) if number else 0, int(ends[number])


def write_index(path: str | os.PathLike, kind: ClipKind, shard: Shard, clips: Sequence[ShardClip]) -> None:
    """Write the index of one shard, whose clips have its number, 0."""
    names = [os.fsencode(clip.name) for clip in clips]
    ranges = np.array([part for clip in clips for part in clip.ranges], np.int64).reshape(-1, 2)
    columns = dict(
        names=np.frombuffer(b''.join(names), np.uint8),
        name_ends=list(accumulate(map(len, names))),
        member_ends=list(accumulate(len(clip.ranges) for clip in clips)),
        offset=ranges[:, 0],
        size=ranges[:, 1],
        **{key: [getattr(clip, key) for clip in clips] for key in ('shard', 'frames', 'fps', 'label')},
    )
    _write(path, kind, [shard], columns)


def join_indexes(path: str | os.PathLike, parts: Sequence[ShardIndex]) -> None:
    """Write the index of several sets of shards of one kind, in their order."""
    columns: dict[str, list[np.ndarray]] = {name: [] for name in _COLUMNS}
    starts = dict(name_ends=0, shard=0, member_ends=0)
    for part in parts:
        for name, column in part._columns.items():
            columns[name].append(column + starts[name] if name in starts else column)
        starts['name_ends'] += len(part._columns['names'])
        starts['member_ends'] += len(part._columns['offset'])
        starts['shard'] += len(part.shards)
    shards = [shard for part in parts for shard in part.shards]
    _write(path, parts[0].kind, shards, {name: np.concatenate(values) for name, values in columns.items()})


def _write(path: str | os.PathLike, kind: ClipKind, shards: Sequence[Shard], columns: dict) -> None:
    from safetensors.torch import save

    tensors = {name: torch.from_numpy(np.array(columns[name], dtype)) for name, dtype in _COLUMNS.items()}
    digest = hashlib.sha256(json.dumps([kind, shards]).encode())
    for name in _COLUMNS:
        digest.update(tensors[name].numpy())
    meta = dict(kind=kind, shards=[shard._asdict() for shard in shards], id=digest.hexdigest())
    with atomic_write(Path(path), sync=True) as part:
        part.write_bytes(save(tensors, {FORMAT: json.dumps(meta)}))
