"""Datasets of frame pairs: from videos, and from folders of frames."""

import logging
import os
import time
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from mmengine.dataset import BaseDataset
from mmengine.dist import broadcast_object_list, is_main_process
from mmengine.logging import print_log

from mmvidmae.registry import DATASETS

from .readers import ClipReader, FrameFolderReader, VideoFileReader, VideoReadError, printable
from .samplers import SampleIndex
from .sources import ClipKind, read_list, scan


class PairDataset(BaseDataset):
    """Clips, each giving one or more pairs of frames at every visit.

    **Reproducible.** With ``PairSampler`` all random draws of an item follow from (seed, epoch, index of the clip),
    whatever the number of workers and ranks, also within a ``ConcatDataset`` or ``RepeatDataset``. Given a plain
    integer index, they follow from torch's generator, which each worker has seeded for itself.

    **Robust.** A clip that cannot be read is replaced by another one, chosen by the item's own draws. The replaced
    clips are listed as ``(path, reason)`` in ``skipped`` of the item's first data sample, so that a hook can log and
    count them. A clip that cannot even be opened is remembered and not tried again by that worker. (Clips with some
    bad frames are tried again: to remember them would make the pairs depend on what this worker happened to see
    before.)

    **Patient.** What the file system refuses (a missing file, a stale handle, an input or output error, too many open
    files) is never remembered but tried again at the next visit. If nothing can be read for such reasons, the whole
    file system may be away: the visit waits, at first for one second, then twice as long each time up to a minute, logs
    a warning, and begins anew with its own clip, so that a run goes on as if nothing had happened. It gives up after
    ``patience`` seconds.

    Args:
        ann_file: List of clips, ``path [label]`` a line (see ``read_list``); relative to ``data_root``. Empty: the
            folder that ``data_root`` and ``data_prefix`` name is searched instead, at any depth (see ``scan``).
        data_root: Folder that ``ann_file`` and ``data_prefix`` are relative to.
        data_prefix: One entry, the folder that the paths in the list are relative to; its key is ``PREFIX_KEY`` of
            the class.
        pipeline: Transforms, as configs or callables. They get a dict with

            - video_path (str): the clip,
            - reader (ClipReader): the open clip,
            - num_pairs (int): how many pairs to draw, ``repeated_sampling``,
            - rng (np.random.Generator): the only source of randomness they may use,
            - skipped (list[tuple[str, str]]): clips that this one replaces, with reasons,
            - sample_idx (int): the clip's index.
        repeated_sampling: How many pairs a visit gives for one opening of the clip.
        patience: Seconds that a visit waits in all for a file system that is away; 0 to stop at once. The default is
            well below the half hour after which the other ranks of a distributed run give up.
        **kwargs: The other arguments of ``mmengine.dataset.BaseDataset``.

    Raises:
        ValueError: On initialization, if no clip is found, none can be read, or a line of the list is malformed.
    """

    PREFIX_KEY: str
    """The key of ``data_prefix``, as in MMAction2."""

    KIND: ClipKind
    """What ``scan`` looks for and lists name."""

    OPEN: Callable[[str], ClipReader]
    """Opens a clip; raises ``VideoReadError``."""

    MANY = 20
    """So many clips that the file system refuses in one visit, not counting missing ones, and it is taken to be away:
    to try the others might take hours."""

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
                f'{type(self).__name__}: data_prefix must be dict({self.PREFIX_KEY}=FOLDER), got {data_prefix}'
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
        """Finds the clips, then reads the first frame of one, so that a wrong path stops a run before its first
        step."""
        if self._fully_initialized:
            return
        super().full_init()
        failures = []
        for index in range(len(self)):
            path = self.get_data_info(index)['video_path']
            try:
                self._open(path).get_batch([0])
                return
            except VideoReadError as failure:
                failures.append(str(failure))
            if len(failures) == 100:
                print_log(
                    f'{self._name()}: the first 100 clips cannot be read ({failures[0]}); still looking', 'current'
                )
        listed = '\n  '.join(failures[:5] + ['...'] * (len(failures) > 5))
        raise ValueError(f'{self._name()}: no readable clip among {len(self)}:\n  {listed}')

    def load_data_list(self) -> list[dict]:
        """Lists the clips as ``dict(video_path=...)``."""
        folder = self.data_prefix[self.PREFIX_KEY]
        if self.ann_file:
            paths = read_list(self.ann_file, self.KIND)
        elif folder:
            paths = _on_main_process(lambda: scan(folder, self.KIND))
        else:
            raise ValueError(f'{type(self).__name__} needs ann_file (a list of clips) or data_root (a folder of clips)')
        if not paths:
            raise ValueError(f'{self._name()}: no clips found')
        if isinstance(self._indices, int) and abs(self._indices) >= len(paths):
            self._indices = None  # MMEngine would stop; "the first 2048" of fewer clips are all of them
        return [dict(video_path=os.path.join(folder, path)) for path in paths]

    def __getitem__(self, visit: SampleIndex | int) -> dict:
        """Draws the pairs of one visit.

        Args:
            visit: What ``PairSampler`` yields, or an index.

        Returns:
            What the pipeline returns, normally of ``PackPairs``.

        Raises:
            RuntimeError: If not one of the clips can be read any more.
        """
        if not isinstance(visit, SampleIndex):
            visit = SampleIndex(int(visit) % len(self), epoch=0, seed=int(torch.randint(2**63 - 1, ())))
        waited, pause = 0.0, 1.0
        while True:
            skipped: list[tuple[str, str]] = []
            item, may_return = self._first_readable(visit, skipped)
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

    def _first_readable(self, visit: SampleIndex, skipped: list[tuple[str, str]]) -> tuple[dict | None, bool]:
        """Draws the pairs of the first clip that can be read.

        Args:
            visit: Where to begin.
            skipped: Gets the clips before, with reasons.

        Returns:
            The item, or None and whether any of the clips may be readable later.
        """
        refused = missing = 0
        for index, rng in self._candidates(visit):
            info = self.get_data_info(index)
            try:
                reader = self._open(info['video_path'])
                item = dict(info, reader=reader, num_pairs=self.repeated_sampling, rng=rng, skipped=skipped)
                return self.pipeline(item), False
            except VideoReadError as failure:
                skipped.append((failure.path, failure.reason))
                if isinstance(failure.__cause__, FileNotFoundError):
                    missing += 1
                elif failure.is_momentary:
                    refused += 1
            if refused == self.MANY:
                break
        return None, refused + missing > 0

    def _candidates(self, visit: SampleIndex) -> Iterator[tuple[int, np.random.Generator]]:
        """The visited clip, then all others in random order, each with a generator of its own: what is drawn for a clip
        must not depend on how far the failed ones before it got."""
        key = visit.key
        yield visit.index, np.random.default_rng(key)
        for index in np.random.default_rng(key).permutation(len(self)).tolist():
            if index != visit.index:
                yield index, np.random.default_rng([*key, index])

    def _open(self, path: str) -> ClipReader:
        if path in self._unopenable:
            raise VideoReadError(path, self._unopenable[path])
        try:
            return type(self).OPEN(path)
        except VideoReadError as failure:
            if not failure.is_momentary:
                self._unopenable[path] = failure.reason
            raise

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


def _on_main_process(function: Callable[[], list[str]]) -> list[str]:
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
