"""Dataset of clips in tar shards, on a local disk or in remote storage."""

import os
from collections.abc import Sequence
from io import BytesIO
from typing import Any, NamedTuple

import numpy as np

from mmvidmae.registry import DATASETS

from .pair_dataset import LazyInfos, PairDataset
from .readers import ClipReader, FrameFolderReader, ImageFileReader, VideoFileReader, VideoReadError, decode_frame
from .samplers import SampleIndex
from .shard_index import INDEX_NAME, ShardIndex
from .storage import Storage


class _Part(NamedTuple):
    """A range of a local file."""

    path: str
    offset: int
    size: int

    def open(self) -> str:
        return f'subfile,,start,{self.offset},end,{self.offset + self.size},,:file:{self.path}'


class _Bytes(NamedTuple):
    """A clip in memory."""

    content: bytes

    @property
    def size(self) -> int:
        return len(self.content)

    def open(self) -> BytesIO:
        return BytesIO(self.content)


class _FramesInShard(FrameFolderReader):
    """Reader of a folder of images in a shard. The frames of a batch are requested at the same time."""

    def __init__(self, path: str, storage: Storage, shard: str, ranges: Sequence[tuple[int, int]]) -> None:
        self.path, self._storage, self._shard, self._ranges = path, storage, shard, ranges
        self._names = [f'frame {number}' for number in range(len(ranges))]
        if not ranges:
            raise VideoReadError(path, 'the folder holds no images')

    def _read(self, numbers: Sequence[int]) -> list[np.ndarray]:
        files = self._storage.read(self._shard, [self._ranges[number] for number in numbers], self.path)
        return [decode_frame(self.path, self._names[number], data) for number, data in zip(numbers, files, strict=True)]


@DATASETS.register_module()
class ShardPairDataset(PairDataset):
    """Frame pairs from clips in tar shards, which ``tools/dataset_converters/make_shards.py`` writes.

    Order, pairs and replacements are those of the dataset of the files from which the shards were made. The clips are
    videos, frame folders or images, as the index says. ``video_path`` is the path of the shard and the name of the
    clip. ``data_prefix`` is ``dict(shards=FOLDER)``. All else is described at ``PairDataset``.

    **Local shards** are read like files. **Remote shards** are read through fsspec: a video by one request, the frames
    of a sample by requests at the same time. If a data loader asks for a batch, the videos of its next samples are
    requested while the first ones are decoded. A remote clip that cannot be read, other than for its content or because
    its shard is missing, is not replaced: the sample waits for the server as for an unavailable file system
    (``patience``).

    Args:
        ann_file: Index of the shards; by default ``index.safetensors`` beside them. A remote index is copied to
            the cache folder of scans once.
        storage_options: Arguments of fsspec's file system, such as ``dict(anon=True)`` for public S3 buckets.
            Credentials are refused here, because configs are copied to logs and checkpoints.
        timeout: Time limit in seconds of an answer of remote storage.
        requests: Number of requests at the same time in each worker.
        cache: ``dict(folder=..., gigabytes=...)``: a local folder that keeps what was read from remote storage, up to
            this size. Several workers, ranks and runs may share it.
        **kwargs: Arguments of ``PairDataset``.

    Raises:
        FileNotFoundError: If there is no index.
        ImportError: If remote storage needs a package that is not installed. The message names it.
        OSError: If the index cannot be read.
        ValueError: As in ``PairDataset``; if the index is damaged; if a URL or an option holds a secret.

    Example:
        >>> ShardPairDataset(data_root='data/k400_shards', pipeline=pipeline, repeated_sampling=2)
        >>> ShardPairDataset(data_root='s3://bucket/k400', pipeline=pipeline,
        ...                  cache=dict(folder='/local/k400', gigabytes=200))
    """

    PREFIX_KEY = 'shards'

    def __init__(
        self,
        ann_file: str = '',
        *,
        storage_options: dict[str, Any] | None = None,
        timeout: float = 30,
        requests: int = 16,
        cache: dict[str, Any] | None = None,
        **kwargs,
    ) -> None:
        self._settings = dict(options=storage_options, timeout=timeout, requests=requests, cache=cache)
        super().__init__(ann_file=ann_file, serialize_data=False, **kwargs)

    def _join_prefix(self) -> None:
        """Join paths as the other datasets do. MMEngine's backends do not know all URLs that fsspec knows."""
        names = self.ann_file, *self.data_prefix.values()
        self.ann_file, *folders = (
            os.path.join(self.data_root, name) if self.data_root and '://' not in name else name for name in names
        )
        self.ann_file = self.ann_file if names[0] else ''
        self.data_prefix = dict(zip(self.data_prefix, folders, strict=True))

    def load_data_list(self) -> Sequence[dict]:
        """Open the index. Data infos are made from it when they are asked for."""
        folder = self.data_prefix[self.PREFIX_KEY]
        if not folder:
            raise ValueError(f'{type(self).__name__} needs data_root (the folder or URL of the shards)')
        place, name = os.path.split(self.ann_file or os.path.join(folder, INDEX_NAME))
        source = Storage(place, **{**self._settings, 'cache': None})
        self._index = ShardIndex(source.path(name) if source.is_local else source.copy_index(name))
        self._check_number(len(self._index))
        self._storage = Storage(folder, **self._settings, version=self._index.id)
        if not self._storage.is_local:
            # Another clip would change the pairs, and trying many takes long: wait for the sample's own.
            self.MANY, self.MANY_MISSING = 1, 100
        return LazyInfos(self._info, range(len(self._index)))

    def _info(self, number: int) -> dict:
        clip = self._index[number]
        shard = self._storage.path(self._index.shards[clip.shard].name)
        return dict(video_path=f'{shard}/{clip.name}', clip=number)

    def __getitems__(self, sample_indices: Sequence[SampleIndex | int]) -> list[dict]:
        """Draw the pairs of several samples. Their clips are read ahead."""
        items = []
        try:
            for place, sample_index in enumerate(sample_indices):
                for following in sample_indices[place : place + self._storage.requests]:
                    self._expect(int(following) % len(self))
                items.append(self[sample_index])
        finally:
            self._storage.forget()
        return items

    def _expect(self, index: int) -> None:
        clip = self._index[self.data_list[index]['clip']]
        if len(clip.ranges) == 1:  # it is not known yet which of many frames will be asked for
            self._storage.expect(self._index.shards[clip.shard].name, *clip.ranges[0])

    def _make_reader(self, info: dict) -> ClipReader:
        clip, path = self._index[info['clip']], info['video_path']
        shard = self._index.shards[clip.shard]
        if self._index.kind == 'frames':
            return _FramesInShard(path, self._storage, shard.name, clip.ranges)
        if self._index.kind == 'video' and self._storage.is_local:
            return VideoFileReader(path, self._part(path, shard.name, *clip.ranges[0]))
        (data,) = self._storage.read(shard.name, clip.ranges, path)
        if self._index.kind == 'image':
            return ImageFileReader(path, data)
        return VideoFileReader(path, _Bytes(data))

    def _part(self, path: str, name: str, offset: int, size: int) -> _Part:
        shard = self._storage.path(name)
        try:
            if os.path.getsize(shard) < offset + size:
                raise VideoReadError(path, 'the shard is cut off before the end of this clip; copy or make it again')
        except OSError as error:
            raise VideoReadError(path, error.strerror or str(error)) from error
        return _Part(shard, offset, size)
