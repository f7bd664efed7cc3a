"""Dataset of long videos: parts of them are clips."""

import json
import logging
import math
import os
from bisect import bisect_right
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import accumulate

from mmengine.logging import print_log

from mmvidmae.registry import DATASETS

from .pair_dataset import LazyInfos, VideoPairDataset, on_main_process
from .readers import ClipReader, VideoReadError, VideoWindowReader, video_seconds, window_name
from .sources import cache_path, to_cache


@DATASETS.register_module()
class VideoWindowDataset(VideoPairDataset):
    """Frame pairs from long videos, such as films, web videos and egocentric recordings.

    A clip is a window of a video: ``window`` seconds without overlap. The rest of a video belongs to its last window,
    and a shorter video is one window. ``video_path`` names it as ``video.mp4#t=10,20``. Opening a window reads only its
    own packets, so neither time nor memory grows with the length of the video. All else is described at
    ``PairDataset``.

    The dataset reads the durations of all videos when it is made: from the headers, by ``threads`` at the same time, on
    the main process only. They are kept in the cache folder of scans for as long as a video's size and modification
    time stay the same. Videos that cannot be opened then are left out; the log lists the first ones.

    Args:
        window: Length of a window in seconds.
        threads: Number of threads that read durations.
        **kwargs: Arguments of ``VideoPairDataset``.

    Raises:
        ValueError: As in ``PairDataset``; if ``window`` or ``threads`` is not positive; if no video can be opened.

    Example:
        >>> VideoWindowDataset(data_root='data/ego4d', pipeline=pipeline, window=10, repeated_sampling=2)
    """

    def __init__(self, *args, window: float = 10.0, threads: int = 16, **kwargs) -> None:
        for name, value in (('window', window), ('threads', threads)):
            if not 0 < value < math.inf:
                raise ValueError(f'{type(self).__name__}: {name} must be above 0, got {value}')
        self.window, self.threads = window, threads
        super().__init__(*args, serialize_data=False, **kwargs)

    def load_data_list(self) -> Sequence[dict]:
        """Read the durations of the videos. Data infos are made from them when they are asked for."""
        paths = [info['video_path'] for info in super().load_data_list()]
        seconds = on_main_process(lambda: read_durations(paths, self.threads))
        self._videos = [path for path in paths if path in seconds]
        if not self._videos:
            raise ValueError(f'{self._name()}: none of the {len(paths)} videos can be opened')
        self._ends = [*accumulate(max(1, int(seconds[path] // self.window)) for path in self._videos)]
        return LazyInfos(self._info, range(self._ends[-1]))

    def _info(self, number: int) -> dict:
        video = bisect_right(self._ends, number)
        path, start = self._videos[video], (number - (self._ends[video - 1] if video else 0)) * self.window
        stop = start + self.window if number + 1 < self._ends[video] else math.inf
        return dict(video_path=window_name(path, start, stop), window=(path, start, stop))

    def _make_reader(self, info: dict) -> ClipReader:
        return VideoWindowReader(*info['window'])


def read_durations(paths: Sequence[str], threads: int = 16) -> dict[str, float]:
    """Read the durations of videos in seconds, from a cache or their headers.

    Returns:
        Durations by path, without videos that cannot be opened. 0 if the header states none.
    """
    cache_file = cache_path('durations', os.fsencode('\n'.join(map(os.path.realpath, paths))), '.json')
    try:
        known = json.loads(cache_file.read_text())
    except (OSError, ValueError):
        known = {}

    def read(path: str) -> tuple[str, list | VideoReadError]:
        try:
            status = os.stat(path)
            key = [status.st_size, status.st_mtime_ns]
            entry = known.get(path)
            return path, entry if entry and entry[:2] == key else [*key, video_seconds(path)]
        except VideoReadError as failure:
            return path, failure
        except OSError as error:
            return path, VideoReadError(path, error.strerror or str(error))

    with ThreadPoolExecutor(threads) as pool:
        found = dict(pool.map(read, dict.fromkeys(paths)))
    failures = [failure for failure in found.values() if isinstance(failure, VideoReadError)]
    if failures:
        listed = '\n  '.join([*map(str, failures[:5]), *['...'] * (len(failures) > 5)])
        print_log(f'{len(failures)} videos cannot be opened and are left out:\n  {listed}', 'current', logging.WARNING)
    entries = {path: entry for path, entry in found.items() if isinstance(entry, list)}
    if entries != known:
        to_cache(cache_file, entries, 'The list of durations')
    return {path: entry[2] for path, entry in entries.items()}
