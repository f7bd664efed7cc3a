"""Datasets of clips: from videos, from folders of frames, and from single pictures."""

import logging
import math
import os
import time
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from mmengine.dataset import BaseDataset
from mmengine.dist import broadcast_object_list, is_main_process
from mmengine.logging import print_log

from mmvidmae.registry import DATASETS

from .readers import ClipReader, FrameFolderReader, ImageFileReader, VideoFileReader, VideoReadError, printable
from .samplers import SampleIndex
from .sources import ClipKind, read_list, scan


class Outages:
    """Clips in a row that may be readable later.

    Args:
        many: Number of refused clips after which the file system counts as unavailable.
        many_missing: The same for missing clips.
    """

    def __init__(self, many: float, many_missing: float) -> None:
        self.many, self.many_missing = many, many_missing
        self.refused = self.missing = 0

    def count(self, failure: VideoReadError) -> None:
        """Count a clip that cannot be read."""
        if isinstance(failure.__cause__, FileNotFoundError):
            self.missing += 1
        elif failure.is_momentary:
            self.refused += 1

    @property
    def are_too_many(self) -> bool:
        """Whether the file system counts as unavailable."""
        return self.refused >= self.many or self.missing >= self.many_missing


class LazyInfos(Sequence):
    """Data infos of a dataset, made when they are asked for.

    Args:
        make: Makes the info of a clip from its number.
        numbers: Numbers of the clips.
    """

    def __init__(self, make: Callable[[int], dict], numbers: range) -> None:
        self.make, self.numbers = make, numbers

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, place: int | slice) -> 'dict | LazyInfos':
        found = self.numbers[place]
        return self.make(found) if isinstance(found, int) else LazyInfos(self.make, found)


class PairDataset(BaseDataset):
    """Dataset of video clips. Each sample reads one clip and gives one or more frame pairs.

    **Reproducible.** With ``PairSampler``, all random draws of a sample follow from (seed, epoch, clip index). They do
    not depend on the number of workers and ranks. The same holds inside a ``ConcatDataset`` or ``RepeatDataset``. With
    a plain integer index, the draws follow from torch's generator, which is seeded per worker.

    **Unreadable clips.** A clip that cannot be read is replaced by another one, chosen by the sample's own generator.
    The replaced clips are listed as ``(path, reason)`` in ``skipped`` of the first data sample, so that a hook can log
    and count them. A worker does not retry a clip that cannot be opened. It does retry a clip with some bad frames:
    otherwise the pairs would depend on what the worker read before.

    **File system errors.** A missing file, a stale handle, an I/O error or too many open files are retried with the
    next sample. If no clip can be read for such reasons, the file system may be unavailable. The dataset then logs a
    warning, waits, and retries from the sample's own clip, so that the run continues unchanged. The first wait is one
    second; each further one is twice as long, up to a minute. After ``patience`` seconds an error is raised.

    Args:
        ann_file: List of clips, one ``path [label]`` per line (see ``read_list``), relative to ``data_root``. If empty,
            the folder given by ``data_root`` and ``data_prefix`` is searched at any depth (see ``scan``).
        data_root: Folder that ``ann_file`` and ``data_prefix`` are relative to.
        data_prefix: One entry, the folder that the listed paths are relative to. Its key is the class's ``PREFIX_KEY``.
        pipeline: Transforms, as configs or callables. They get a dict with

            - video_path (str): path of the clip,
            - reader (ClipReader): the open clip,
            - num_pairs (int): number of pairs to draw, equal to ``repeated_sampling``,
            - rng (np.random.Generator): the only source of randomness they may use,
            - skipped (list[tuple[str, str]]): paths of the clips that this one replaces, with reasons,
            - sample_idx (int): index of the clip,
            - epoch (int): epoch of the sample, 0 without ``PairSampler``.
        repeated_sampling: Number of pairs per sample. The clip is opened once for all of them.
        patience: Total seconds that a sample waits for an unavailable file system; 0 raises at once. The default is
            well below the half hour after which the other ranks of a distributed run time out.
        **kwargs: Further arguments of ``mmengine.dataset.BaseDataset``.

    Raises:
        ValueError: On initialization, if no clip is found, no clip can be read, or a line of the list is malformed.
    """

    PREFIX_KEY: str
    """The key of ``data_prefix``, as in MMAction2."""

    KIND: ClipKind
    """Kind of clip that ``scan`` finds and a list names."""

    OPEN: Callable[[str], ClipReader]
    """Function that opens a clip; raises ``VideoReadError``."""

    MANY = 20
    """File system errors in one sample, missing files aside, after which the file system counts as unavailable. Trying
    all other clips could take hours."""

    MANY_MISSING = math.inf
    """Missing clips in one sample after which the file system counts as unavailable."""

    def __init__(
        self,
        ann_file: str = '',
        data_root: str = '',
        data_prefix: dict[str, str] | None = None,
        pipeline: Sequence[dict | Callable] = (),
        repeated_sampling: int = 1,
        patience: float = 600,
        **kwargs,
    ) -> None:
        data_prefix = data_prefix or {self.PREFIX_KEY: ''}
        if set(data_prefix) != {self.PREFIX_KEY}:
            raise ValueError(
                f'{type(self).__name__}: data_prefix must be dict({self.PREFIX_KEY}=FOLDER), got {data_prefix}. To '
                f'replace that of a base config, write dict(_delete_=True, {self.PREFIX_KEY}=FOLDER)'
            )
        if repeated_sampling < 1:
            raise ValueError(f'{type(self).__name__}: repeated_sampling must be at least 1, got {repeated_sampling}')
        self.repeated_sampling = repeated_sampling
        self.patience = patience
        self._unopenable: dict[str, str] = {}
        super().__init__(
            ann_file=ann_file, data_root=data_root, data_prefix=data_prefix, pipeline=list(pipeline), **kwargs
        )

    def full_init(self) -> None:
        """Find the clips and read the first frame of one, so that a wrong path stops a run before its first step."""
        if self._fully_initialized:
            return
        super().full_init()
        failures, outages = [], Outages(self.MANY, self.MANY_MISSING)
        for index in range(len(self)):
            try:
                self._open(self.get_data_info(index)).get_batch([0])
                return
            except VideoReadError as failure:
                failures.append(str(failure))
                outages.count(failure)
            if outages.are_too_many:
                break
            if len(failures) == 100:
                print_log(
                    f'{self._name()}: the first 100 clips cannot be read ({failures[0]}); still looking', 'current'
                )
        listed = '\n  '.join(failures[:5] + ['...'] * (len(failures) > 5))
        raise ValueError(f'{self._name()}: no readable clip among {len(self)}:\n  {listed}')

    def load_data_list(self) -> list[dict]:
        """List the clips as ``dict(video_path=...)``."""
        folder = self.data_prefix[self.PREFIX_KEY]
        if self.ann_file:
            paths = read_list(self.ann_file, self.KIND)
        elif folder:
            paths = on_main_process(lambda: scan(folder, self.KIND))
        else:
            raise ValueError(f'{type(self).__name__} needs ann_file (a list of clips) or data_root (a folder of clips)')
        self._check_number(len(paths))
        return [dict(video_path=os.path.join(folder, path)) for path in paths]

    def _check_number(self, num_clips: int) -> None:
        """Refuse an empty source, and take all clips if there are fewer than ``indices`` asks for."""
        if not num_clips:
            raise ValueError(f'{self._name()}: no clips found')
        if isinstance(self._indices, int) and abs(self._indices) >= num_clips:
            self._indices = None  # MMEngine would raise an error

    def __getitem__(self, sample_index: SampleIndex | int) -> dict:
        """Draw the pairs of one sample.

        Args:
            sample_index: A :class:`SampleIndex` from ``PairSampler``, or a plain index.

        Returns:
            The output of the pipeline, normally that of ``PackPairs``.

        Raises:
            RuntimeError: If no clip can be read any more.
        """
        if not isinstance(sample_index, SampleIndex):
            sample_index = SampleIndex(int(sample_index) % len(self), epoch=0, seed=int(torch.randint(2**63 - 1, ())))
        waited, pause = 0.0, 1.0
        while True:
            skipped: list[tuple[str, str]] = []
            item, may_return = self._first_readable(sample_index, skipped)
            if item is not None:
                return item
            last = ': '.join(skipped[-1])
            if not may_return or waited >= self.patience:
                break
            pause = min(pause, self.patience - waited)
            print_log(
                f'{self._name()}: {len(skipped)} clips in turn cannot be read, at last {printable(last)}. The file '
                f'system may be away: next try in {pause:g} s, giving up in {self.patience - waited:g} s',
                'current',
                logging.WARNING,
            )
            time.sleep(pause)
            waited, pause = waited + pause, min(2 * pause, 60)
        tried = 'not one of' if len(skipped) == len(self) else f'not one of {len(skipped)} tried of'
        waiting = f' after {waited:g} s of waiting' if waited else ''
        raise RuntimeError(
            f'{self._name()}: {tried} the {len(self)} clips can be read{waiting}; the last tried: {last}'
        )

    def _first_readable(self, sample_index: SampleIndex, skipped: list[tuple[str, str]]) -> tuple[dict | None, bool]:
        """Draw the pairs of the first clip that can be read.

        Args:
            sample_index: Index of the sample, whose clip is tried first.
            skipped: List to which the unreadable clips are appended, with reasons.

        Returns:
            The item, or None if no clip can be read, and whether any clip may be readable later.
        """
        outages = Outages(self.MANY, self.MANY_MISSING)
        for index, rng in self._candidates(sample_index):
            info = self.get_data_info(index)
            try:
                reader = self._open(info)
                item = dict(info, reader=reader, num_pairs=self.repeated_sampling, rng=rng, skipped=skipped)
                return self.pipeline({**item, 'epoch': sample_index.epoch}), False
            except VideoReadError as failure:
                skipped.append((failure.path, failure.reason))
                outages.count(failure)
            if outages.are_too_many:
                break
        return None, outages.refused + outages.missing > 0

    def _candidates(self, sample_index: SampleIndex) -> Iterator[tuple[int, np.random.Generator]]:
        """Yield the sample's clip, then all others in random order. Each has its own generator, so that its draws do
        not depend on how far the failed clips before it got."""
        key = sample_index.key
        yield sample_index.index, np.random.default_rng(key)
        for index in np.random.default_rng(key).permutation(len(self)).tolist():
            if index != sample_index.index:
                yield index, np.random.default_rng([*key, index])

    def _open(self, info: dict) -> ClipReader:
        path = info['video_path']
        if path in self._unopenable:
            raise VideoReadError(path, self._unopenable[path])
        try:
            return self._make_reader(info)
        except VideoReadError as failure:
            if not failure.is_momentary:
                self._unopenable[path] = failure.reason
            raise

    def _make_reader(self, info: dict) -> ClipReader:
        """Open a clip.

        Raises:
            VideoReadError: If it cannot be opened.
        """
        return type(self).OPEN(info['video_path'])

    def _name(self) -> str:
        return f'{type(self).__name__} ({self.ann_file or self.data_prefix[self.PREFIX_KEY]})'


@DATASETS.register_module()
class VideoPairDataset(PairDataset):
    """Frame pairs from video files: a list of them, or a folder such as Kinetics' ``<class>/*.mp4`` or a flat one.

    ``data_prefix`` is ``dict(video=FOLDER)``. All else is described at ``PairDataset``.

    Example:
        >>> VideoPairDataset(data_root='data/kinetics400/train', pipeline=pipeline, repeated_sampling=2)
        >>> VideoPairDataset(ann_file='train.txt', data_prefix=dict(video='data/kinetics400/train'), pipeline=pipeline)
    """

    PREFIX_KEY = 'video'
    KIND = 'video'
    OPEN = VideoFileReader


@DATASETS.register_module()
class FramePairDataset(PairDataset):
    """Frame pairs from folders of images: each folder that holds images is a clip, in natural order of their names.

    Reads GOT-10k (``<sequence>/*.jpg``), LaSOT (``<class>/<sequence>/img/*.jpg``), DAVIS and YouTube-VOS
    (``JPEGImages/<resolution>/<sequence>/*.jpg``) as they are distributed. ``data_prefix`` is ``dict(img=FOLDER)``. A
    list names the folders; MMAction2's ``folder total_frames label`` is understood too. All else is described at
    ``PairDataset``.
    """

    PREFIX_KEY = 'img'
    KIND = 'frames'
    OPEN = FrameFolderReader


@DATASETS.register_module()
class ImageViewDataset(PairDataset):
    """Views of single pictures: a list of image files, or a folder such as ImageNet's ``train/<class>/*.JPEG``.

    A picture is a clip of one frame, of which :class:`PictureViews` makes a pair. An unreadable picture is replaced,
    logged and counted like an unreadable clip. ``data_prefix`` is ``dict(img=FOLDER)``. All else is described at
    ``PairDataset``.

    Example:
        >>> pipeline = [SampleFrames(num_frames=1), LoadFramePairs(), PictureViews(224, ((0.1, 1), (0.3, 0.6))),
        ...             PackPairs()]
        >>> ImageViewDataset(data_root='data/imagenet', data_prefix=dict(img='train'), pipeline=pipeline)
    """

    PREFIX_KEY = 'img'
    KIND = 'image'
    OPEN = ImageFileReader


def on_main_process(function: Callable[[], list[str]]) -> list[str]:
    """Runs a function on the main process alone and gives its result, or its exception, to all."""
    outcome: list = [None]
    if is_main_process():
        try:
            outcome = [function()]
        except Exception as error:  # the other ranks wait for an answer: let them fail too
            outcome = [error]
    broadcast_object_list(outcome)
    if isinstance(outcome[0], Exception):
        raise outcome[0]
    return outcome[0]
