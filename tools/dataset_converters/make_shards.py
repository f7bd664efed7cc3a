"""Pack clips into tar shards with an index, for ShardPairDataset on a local disk or in remote storage.

The source is a folder of videos or a list file; with --frames, of folders of images, with --images, of single images.
Contents are copied as they are, in the order of the folder or list. A clip that cannot be decoded is copied too, so
that training treats it as it treats the file; it is reported, and the exit code is 1. If a file cannot be read, its
shard is not written.

A shard appears under its name when it is complete. A second run skips existing shards, and writes those again whose
clips have changed. The folder then holds

    shard-000000.tar ...   members <clip>.<suffix> and <clip>.json, a sample of WebDataset for each clip
    index.safetensors      the index that training reads
    SHA256SUMS             for `sha256sum -c SHA256SUMS`
    parts/                 the index of each shard; only needed to continue

    python tools/dataset_converters/make_shards.py data/kinetics400_256/train data/kinetics400_shards
    python tools/dataset_converters/make_shards.py train.txt data/shards --data-root data/kinetics400_256/train
    python tools/dataset_converters/make_shards.py data/got10k/train data/got10k_shards --frames --megabytes 256
"""

import argparse
import hashlib
import json
import os
import tarfile
import threading
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, NamedTuple

from common import ClipFailed, Isolated, add_job_arguments, finish, run_all, run_tool, say


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('source', help='folder of clips, searched at any depth, or list file')
    parser.add_argument('target', type=Path, help='folder for the shards')
    parser.add_argument('--data-root', default='', help='folder that the paths in the list are relative to')
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument('--frames', action='store_true', help='clips are folders of images instead of video files')
    kind.add_argument('--images', action='store_true', help='clips are single images')
    parser.add_argument('--megabytes', type=float, default=512, help='size of a shard (default: %(default)s)')
    add_job_arguments(parser, timeout=300)
    return parser


if __name__ == '__main__':
    make_parser().parse_args()  # answers --help and refuses mistakes before the imports below, which take seconds

from mmvidmae.datasets import ImageFileReader, VideoFileReader  # noqa: E402
from mmvidmae.datasets.shard_index import (  # noqa: E402
    INDEX_NAME,
    Shard,
    ShardClip,
    ShardIndex,
    join_indexes,
    write_index,
)
from mmvidmae.datasets.sources import ClipKind, class_labels, image_names, read_labeled_list, scan  # noqa: E402
from mmvidmae.utils.files import atomic_write  # noqa: E402


class File(NamedTuple):
    """A file to copy, and what tells that it has changed."""

    path: Path
    size: int
    mtime_ns: int


class Source(NamedTuple):
    """A clip to copy: name, label or -1, key in the tar file, and its files."""

    name: str
    label: int
    key: str
    files: list[File]


def find_clips(source: str, root: str, kind: ClipKind) -> list[tuple[str, int]]:
    """Names and labels of the clips of a folder, where the first folder is the class, or of a list.

    Raises:
        OSError: If the source cannot be read.
        ValueError: If the list is malformed.
    """
    if not os.path.isdir(source):
        return read_labeled_list(source, kind)
    clips = scan(root, kind)
    return list(zip(clips, class_labels(clips), strict=True))


def plan(clips: list[tuple[str, int]], root: Path, kind: ClipKind, limit: float) -> list[list[Source]]:
    """Divide the clips among shards of at most ``limit`` bytes, or of one clip.

    Raises:
        OSError: If a file is missing.
    """
    shards: list[list[Source]] = []
    keys: set[str] = set()
    filled = 0
    for name, label in clips:
        path = root / name
        paths = [path / image for image in image_names(str(path))] if kind == 'frames' else [path]
        files = [File(path, (status := path.stat()).st_size, status.st_mtime_ns) for path in paths]
        size = sum(file.size for file in files)
        if not shards or filled + size > limit:
            shards.append([])
            filled = 0
        shards[-1].append(Source(name, label, unique_key(name, kind, keys), files))
        filled += size
    return shards


def unique_key(name: str, kind: ClipKind, taken: set[str]) -> str:
    """Name of a clip in a tar file. WebDataset takes all up to the first dot of the last part as the key of a sample,
    so it has no dots there, and no other clip has it."""
    folder, _, last = '/'.join(part for part in Path(name).parts if part not in ('/', '..')).rpartition('/')
    stem = last if kind == 'frames' else os.path.splitext(last)[0]
    base = f'{folder}/'.lstrip('/') + (stem.replace('.', '_') or '_')
    key, number = base, 1
    while key in taken:
        number += 1
        key = f'{base}~{number}'
    taken.add(key)
    return key


def probe(path: str, kind: ClipKind) -> tuple[int, float]:
    """Number of frames and frames per second, 0 if unknown.

    Raises:
        VideoReadError: If it cannot be read as training does.
    """
    if kind == 'image':
        return len(ImageFileReader(path)), 0.0
    import av

    frames = len(VideoFileReader(path))
    with av.open(f'file:{path}', metadata_errors='replace') as container:
        return frames, float(container.streams.best('video').average_rate or 0)


class Hashed:
    """A file that is written from its start, with its SHA-256."""

    def __init__(self, file: BinaryIO) -> None:
        self.file, self.digest, self.size = file, hashlib.sha256(), 0

    def write(self, data: bytes) -> int:
        self.digest.update(data)
        self.size += len(data)
        return self.file.write(data)

    def tell(self) -> int:
        return self.size


class Packer:
    """Writes shards and their indexes.

    Args:
        target: Folder of the shards.
        kind: Kind of the clips.
        shards: Clips of each shard.
        timeout: Time limit of decoding a clip in seconds.
    """

    def __init__(self, target: Path, kind: ClipKind, shards: list[list[Source]], timeout: float) -> None:
        self.target, self.kind = target, kind
        self.shards = {f'shard-{number:06d}.tar': clips for number, clips in enumerate(shards)}
        self.aside = Isolated(timeout)
        self.bad: list[tuple[str, str]] = []
        self.stopped = threading.Event()

    def part_of(self, name: str) -> Path:
        """Path of the index of a shard."""
        clips = [(*clip[:3], [(file.path.name, *file[1:]) for file in clip.files]) for clip in self.shards[name]]
        digest = hashlib.sha256(json.dumps([self.kind, clips]).encode()).hexdigest()
        return self.target / 'parts' / f'{name}.{digest[:16]}.safetensors'

    def is_done(self, name: str) -> bool:
        """Whether a shard of these clips exists."""
        try:
            (shard,) = ShardIndex(self.part_of(name)).shards
            return (self.target / name).stat().st_size == shard.size
        except (OSError, ValueError):
            return False

    def __call__(self, name: str) -> None:
        part = self.part_of(name)
        for old in part.parent.glob(f'{name}.*'):
            old.unlink()
        with atomic_write(self.target / name, sync=True) as path, path.open('wb') as file:
            hashed = Hashed(file)
            with tarfile.open(fileobj=hashed, mode='w', format=tarfile.GNU_FORMAT) as tar:
                clips = [self._add(tar, clip) for clip in self.shards[name]]
        write_index(part, self.kind, Shard(name, len(clips), hashed.size, hashed.digest.hexdigest()), clips)

    def stop(self) -> None:
        self.stopped.set()
        self.aside.stop()

    def _add(self, tar: tarfile.TarFile, clip: Source) -> ShardClip:
        if self.stopped.is_set():
            raise ClipFailed('stopped')
        ranges = []
        for path, size, _ in clip.files:
            suffix = path.name if self.kind == 'frames' else path.suffix.lstrip('.').lower()
            try:
                with path.open('rb') as file:
                    ranges.append(add_member(tar, f'{clip.key}.{suffix}', file, size))
            except OSError as error:
                raise ClipFailed(f'{path}: {error.strerror or error}') from error
        try:
            frames, fps = self._probe(clip)
        except ClipFailed as failure:
            self.bad.append((clip.name, str(failure)))
            frames, fps = 0, 0.0
        facts = dict(name=clip.name, frames=frames, fps=fps, label=clip.label)
        text = json.dumps(facts).encode()
        add_member(tar, f'{clip.key}.json', BytesIO(text), len(text))
        return ShardClip(clip.name, 0, ranges, frames, fps, clip.label)

    def _probe(self, clip: Source) -> tuple[int, float]:
        if self.kind == 'frames':
            return len(clip.files), 0.0
        return self.aside(probe, str(clip.files[0].path), self.kind)


def add_member(tar: tarfile.TarFile, name: str, file: BinaryIO, size: int) -> tuple[int, int]:
    """Add a file. Returns (offset, size) of its bytes.

    Raises:
        OSError: If it is shorter than ``size``.
    """
    info = tarfile.TarInfo(name)
    info.size = size
    tar.addfile(info, file)
    return tar.offset - -(-size // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE, size


def write_summary(target: Path, indexes: list[ShardIndex]) -> None:
    """Write what describes all shards. The index comes last."""
    shards = [shard for index in indexes for shard in index.shards]
    with atomic_write(target / 'SHA256SUMS') as part:
        part.write_text(''.join(f'{shard.sha256}  {shard.name}\n' for shard in shards))
    join_indexes(target / INDEX_NAME, indexes)


def main(arguments: list[str] | None = None) -> int:
    parser = make_parser()
    args = parser.parse_args(arguments)
    if args.megabytes <= 0:
        parser.error(f'--megabytes must be positive, got {args.megabytes:g}')

    kind = 'frames' if args.frames else 'image' if args.images else 'video'
    root = args.source if os.path.isdir(args.source) else args.data_root
    try:
        clips = find_clips(args.source, root, kind)
        packer = Packer(args.target, kind, plan(clips, Path(root), kind, args.megabytes * 1e6), args.timeout)
        missing = [name for name in packer.shards if not packer.is_done(name)]
    except (OSError, ValueError) as error:
        parser.error(str(error))
    if not clips:
        parser.error(f'no clips in {args.source}')
    if strange := sorted(path.name for path in args.target.glob('shard-*.tar') if path.name not in packer.shards):
        parser.error(f'{args.target} holds other shards, such as {strange[-1]}; remove them or choose another folder')
    if len(missing) < len(packer.shards):
        say(f'{len(packer.shards) - len(missing)} of {len(packer.shards)} shards exist already')
    args.target.mkdir(parents=True, exist_ok=True)
    if missing:
        (args.target / INDEX_NAME).unlink(missing_ok=True)  # it would not fit the new shards

    failed = [(name, reason) for name, reason in run_all(packer, missing, args.workers) if reason]
    if failed:
        for name, reason in failed:
            say(f'{name} is not written: {reason}')
        say(f'{len(failed)} of {len(packer.shards)} shards are missing: no index is written')
        return 1
    indexes = [ShardIndex(packer.part_of(name)) for name in packer.shards]
    write_summary(args.target, indexes)
    say(f'{len(packer.shards)} shards, {sum(len(index) for index in indexes)} clips')
    bad = dict(packer.bad)
    failures = [(name, bad.get(name, 'it cannot be decoded')) for index in indexes for name in index.undecodable()]
    return finish(failures, len(clips), f'are in {args.target} and can be decoded')


if __name__ == '__main__':
    run_tool(main)
