"""Readers: random access to the frames of one clip, whether a video file or a folder of images."""

import itertools
import math
import os
import threading
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import Protocol

import numpy as np

from mmvidmae.utils.images import UnreadableImage, decode_image

from .sources import image_names


class UnreadableClip(Exception):
    """A clip that cannot be opened, or frames of it that cannot be decoded.

    Args:
        path: The clip.
        reason: What is wrong, in a few words.
    """

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(path, reason)
        self.path = path
        self.reason = reason

    def __str__(self) -> str:
        return f'{self.path}: {self.reason}'


class ClipReader(Protocol):
    """What the data pipeline asks of a clip. Opening and reading raise ``UnreadableClip``; an open clip has at least
    one frame."""

    def __len__(self) -> int:
        """The number of frames."""

    def get_batch(self, indices: Sequence[int]) -> np.ndarray:
        """Decodes frames.

        Args:
            indices: Frame numbers in ``[0, len)``, in any order; each is decoded once.

        Returns:
            Array of shape (len(indices), H, W, 3), uint8 RGB.
        """

    def __iter__(self) -> Iterator[np.ndarray]:
        """All frames in order, (H, W, 3), uint8 RGB, each decoded once. Nothing else may be read meanwhile."""


_LOCAL = threading.local()


def _converter():
    """PyAV's converter of frames, one a thread: of one a clip, 10 kB a clip were measured to stay in memory."""
    if not hasattr(_LOCAL, 'converter'):
        from av.video.reformatter import VideoReformatter

        _LOCAL.converter = VideoReformatter()
    return _LOCAL.converter


class _FramesAreReordered(Exception):
    """Frames are not shown in the order of decoding."""


class VideoFileReader:
    """A video file, through PyAV.

    One decoder thread a clip: the data loader's workers already fill the cores. The time goes into decoding the frames
    since the last keyframe, so those that no other frame refers to are passed over unless they are asked for. Frames
    are numbered in the order in which they are shown and returned at their native size; a frame has the same pixels
    whatever was read before it.

    Args:
        path: The video file.

    Raises:
        ImportError: If PyAV is not installed.
        UnreadableClip: If the file is missing, empty, no video, cut off before its index, or without a frame.
    """

    def __init__(self, path: str) -> None:
        try:
            import av
        except ImportError as error:
            raise ImportError('Reading videos needs PyAV: pip install av') from error
        self.path = path
        self._error = av.error.FFmpegError
        try:
            if os.path.getsize(path) == 0:
                raise UnreadableClip(path, 'the file is empty')
            self._container = av.open(path)
            if self._container.format.name.endswith(('_pipe', 'image2')):
                raise UnreadableClip(path, 'not a readable video (an image)')
            self._stream = self._container.streams.best('video')  # as decord: not a cover
            if self._stream is None:
                raise UnreadableClip(path, 'not a readable video (it has no pictures)')
            self._is_mp4 = 'mp4' in self._container.format.name
            self._codec = self._stream.codec_context
            self._codec.thread_count = 1
            self._by_index = self._has_plain_index()
            self._number_frames()
        except self._error as error:  # before OSError, which some of them are too
            raise UnreadableClip(path, f'not a readable video ({error.strerror})') from error
        except OSError as error:
            raise UnreadableClip(path, error.strerror or str(error)) from error

    def _has_plain_index(self) -> bool:
        """Whether MP4's index tells what reading the whole file would. It has the times of decoding only, so not where
        the decoder reorders; nor where the file ends before the frames it lists."""
        index = self._stream.index_entries
        return (
            self._is_mp4
            and not self._codec.has_b_frames
            and len(index) == self._stream.frames > 0
            and index[-1].pos + index[-1].size <= os.path.getsize(self.path)
        )

    def _number_frames(self) -> None:
        """Numbers frames in the order in which they are shown and lists the keyframes.

        Raises:
            UnreadableClip: If frames are missing.
        """
        if self._by_index:
            packets = [(e.timestamp, e.timestamp, e.is_keyframe, e.is_discard) for e in self._stream.index_entries]
        else:
            packets = [
                (packet.pts, packet.dts, packet.is_keyframe, packet.is_discard)
                for packet in self._container.demux(self._stream)
                if packet.size
            ]
        # MP4's index says how many frames there are; in AVI's number those count that repeat the one before
        promised = self._stream.frames if self._is_mp4 else 1
        if len(packets) < max(promised, 1):
            raise UnreadableClip(self.path, f'not a readable video ({len(packets)} of {promised} frames are there)')
        packets = [packet[:3] for packet in packets if not packet[3]]
        if not packets:
            raise UnreadableClip(self.path, 'not a readable video (it shows none of its frames)')
        shown, decoded, is_key = zip(*packets)
        # Containers are searched by the time of decoding; Matroska and WebM, which do not know it, by that of showing,
        # and MP4 too, from which FFmpeg subtracts what they differ by.
        stamps = shown if self._is_mp4 or None in decoded else decoded
        # Some containers (AVI) do not know when a frame is shown and give times in the order of decoding, or one time
        # to several frames. Where the decoder reorders, times are then no use to tell its frames apart, and they are
        # counted as they come out.
        in_order = None in shown or all(earlier < later for earlier, later in itertools.pairwise(shown))
        vague = None in shown or len(set(shown)) < len(shown)
        self._counted = vague or (stamps is decoded and in_order and self._codec.has_b_frames)
        order = range(len(packets)) if self._counted else sorted(range(len(packets)), key=shown.__getitem__)
        self._number_at = {shown[i]: number for number, i in enumerate(order)}
        self._length = len(order)
        # To count, all have to come out, and after a search decoders leave out what an open group shows before its key.
        starts = order[:1] if self._counted else order
        self._keys = [(number, stamps[i] or 0) for number, i in enumerate(starts) if is_key[i] or not number]

    def __del__(self) -> None:
        if hasattr(self, '_container'):
            self._container.close()  # or the decoder's memory stays

    def __len__(self) -> int:
        return self._length

    def get_batch(self, indices: Sequence[int]) -> np.ndarray:
        frames = {}
        wanted = sorted(set(indices))
        try:
            for key, group in itertools.groupby(wanted, self._key_before):
                frames.update(self._decode(key, set(group)))
            if missing := set(wanted) - frames.keys():  # a search that led too far, as in MPEG program streams
                frames.update(self._decode(0, missing))
        except _FramesAreReordered:  # though the decoder did not expect it
            self._number_frames_again()
            return self.get_batch(indices)
        except self._error as error:
            raise self._undecodable(wanted, f' ({error.strerror})') from error
        if missing := sorted(set(wanted) - frames.keys()):
            raise self._undecodable(missing)
        return np.stack([frames[index] for index in indices])

    def __iter__(self) -> Iterator[np.ndarray]:
        if self._by_index:
            self._number_frames_again()  # the whole file is read anyway
        number, last = 0, len(self) - 1
        try:
            for index, frame in self._decode(0, set(range(len(self)))):
                if index != number:
                    break
                yield frame
                number += 1
        except self._error as error:
            raise self._undecodable([number, last], f' ({error.strerror})') from error
        if number <= last:
            raise self._undecodable([number, last])

    def _number_frames_again(self) -> None:
        """Numbers frames by reading through the file and not by its index."""
        self._by_index = False
        self._container.seek(self._keys[0][1], stream=self._stream)
        self._number_frames()

    def _key_before(self, index: int) -> int:
        """Which keyframe is the last at or before a frame."""
        return max(bisect_right(self._keys, (index, math.inf)) - 1, 0)

    def _decode(self, key: int, wanted: set[int]) -> Iterator[tuple[int, np.ndarray]]:
        """Frames that follow the same keyframe, with their numbers; fewer where the video ends before its index."""
        self._container.seek(self._keys[key][1], stream=self._stream)
        position = itertools.count()
        # closed by hand: a generator that PyAV's own deallocation ends leaves a packet behind, 150 bytes
        with closing(self._container.demux(self._stream)) as packets:
            for packet in packets:
                if self._by_index and packet.pts != packet.dts:
                    raise _FramesAreReordered
                if not self._counted:
                    asked = packet.pts is None or self._number_at.get(packet.pts) in wanted
                    self._codec.skip_frame = 'DEFAULT' if asked else 'NONREF'
                for frame in packet.decode():
                    index = next(position) if self._counted else self._number_at.get(frame.pts)
                    if index in wanted:
                        # threads=1: a pool of them would not survive the fork of a data loader's workers
                        yield index, _converter().reformat(frame, format='rgb24', threads=1).to_ndarray()
                        wanted.remove(index)
                        if not wanted:
                            return

    def _undecodable(self, indices: Sequence[int], reason: str = '') -> UnreadableClip:
        return UnreadableClip(self.path, f'cannot decode frames {indices[0]} to {indices[-1]}{reason}')


class FrameFolderReader:
    """A folder whose images, in natural order of their names, are the frames.

    Args:
        path: The folder.

    Raises:
        UnreadableClip: If the folder is missing or holds no image.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        try:
            self._names = image_names(path)
        except OSError as error:
            raise UnreadableClip(path, error.strerror or str(error)) from error
        if not self._names:
            raise UnreadableClip(path, 'the folder holds no images')

    def __len__(self) -> int:
        return len(self._names)

    def get_batch(self, indices: Sequence[int]) -> np.ndarray:
        frames = {index: read_image(self.path, self._names[index]) for index in sorted(set(indices))}
        self._check_sizes(frames)
        return np.stack([frames[index] for index in indices])

    def __iter__(self) -> Iterator[np.ndarray]:
        first = read_image(self.path, self._names[0])
        for number, name in enumerate(self._names):
            frame = read_image(self.path, name) if number else first
            self._check_sizes({0: first, number: frame})
            yield frame

    def _check_sizes(self, frames: dict[int, np.ndarray]) -> None:
        if len({frame.shape for frame in frames.values()}) > 1:
            sizes = ', '.join(f'{self._names[i]} {f.shape[1]}x{f.shape[0]}' for i, f in frames.items())
            raise UnreadableClip(self.path, f'frames differ in size: {sizes}')


def read_image(folder: str, name: str) -> np.ndarray:
    """Read a frame that is a file, by :func:`mmvidmae.utils.images.decode_image`.

    Returns:
        ``(H, W, 3)``, uint8 RGB, upright.

    Raises:
        UnreadableClip: If the file is missing, damaged, cut off or no image; names the folder and the file.
    """
    try:
        with open(os.path.join(folder, name), 'rb') as file:
            return decode_image(file.read())
    except OSError as error:
        raise UnreadableClip(folder, f'{name}: {error.strerror or error}') from error
    except UnreadableImage as error:
        raise UnreadableClip(folder, f'{name} is {error}') from error
