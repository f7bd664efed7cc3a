"""Readers: random access to the frames of one clip, whether a video file or a folder of images."""

import itertools
import logging
import math
import operator
import os
import threading
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from typing import NamedTuple, Protocol

import numpy as np
from mmengine.logging import print_log

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
        return f'{printable(self.path)}: {self.reason}'

    @property
    def is_momentary(self) -> bool:
        """Whether it is for the system that the clip could not be read (it is not there, a file server does not answer,
        too many files are open) and not for what the file holds, so that it may be read later."""
        return isinstance(self.__cause__, OSError | MemoryError)


def printable(path: str) -> str:
    """A path for people and logs: what of its bytes is no UTF-8 is escaped."""
    return path.encode('utf-8', 'backslashreplace').decode()


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
        """All frames in order, (H, W, 3), uint8 RGB, each decoded once."""


_LOCAL = threading.local()


def _converter():
    """PyAV's converter of frames, one a thread: of one a clip, 10 kB a clip were measured to stay in memory."""
    if not hasattr(_LOCAL, 'converter'):
        from av.video.reformatter import VideoReformatter

        _LOCAL.converter = VideoReformatter()
    return _LOCAL.converter


@contextmanager
def _reading(path: str) -> Iterator[None]:
    """Around calls of PyAV: whatever they raise becomes ``UnreadableClip``. On damaged files these are not only the
    errors of FFmpeg: AttributeError, IndexError, MemoryError, UnicodeDecodeError and others were seen."""
    try:
        yield
    except UnreadableClip:
        raise
    except Exception as error:
        raise _unreadable(path, error) from error


def _unreadable(path: str, error: Exception) -> UnreadableClip:
    return UnreadableClip(path, getattr(error, 'strerror', None) or f'{type(error).__name__}: {error}')


@contextmanager
def _explained(reason: str) -> Iterator[None]:
    """Says of an ``UnreadableClip`` what could not be done."""
    try:
        yield
    except UnreadableClip as failure:
        raise UnreadableClip(failure.path, f'{reason} ({failure.reason})') from failure.__cause__


class _Packets(NamedTuple):
    """What is known of packets without decoding them: one entry a packet."""

    pts: Sequence[int | None] = ()
    dts: Sequence[int | None] = ()
    is_key: Sequence[bool] = ()
    is_discarded: Sequence[bool] = ()
    is_corrupt: Sequence[bool] = ()
    size: Sequence[int] = ()


class _OpenVideo:
    """A video file and its decoder, before the first packet. All that PyAV raises becomes ``UnreadableClip``.

    Args:
        path: The video file.
    """

    MAX_PIXELS = 2**27
    """Only damaged headers ask for larger frames, of 400 MB as RGB."""

    ONE_FRAME_A_PACKET = frozenset({'av1', 'h264', 'hevc', 'mpeg1video', 'mpeg2video', 'vp9'})
    """Codecs, besides those of intra frames only, each of whose packets holds one frame that is shown. Others have
    packets without one (VP8, Theora, VC-1), or with two (DivX)."""

    def __init__(self, path: str) -> None:
        try:
            import av
        except ImportError as error:
            raise ImportError('Reading videos needs PyAV: pip install av') from error
        self.path = path
        options = {'max_pixels': str(self.MAX_PIXELS)}
        with _reading(path):
            # Without "file:" FFmpeg takes what stands before a colon for a protocol. Tags come in any encoding.
            self._container = av.open(f'file:{path}', options=options, metadata_errors='replace')
            if self._container.format.name.endswith(('_pipe', 'image2')):
                raise UnreadableClip(path, 'an image')
            self._stream = self._container.streams.best('video')  # as decord: not a cover
            if self._stream is None:
                raise UnreadableClip(path, 'it has no pictures')
            if self._stream.codec_context is None:
                raise UnreadableClip(path, 'there is no decoder for it')
            for stream in self._container.streams:
                if stream is not self._stream:
                    stream.discard = av.stream.Discard.all
            self.codec = self._stream.codec_context
            self.codec.options = options
            self.codec.thread_count = 1
            self._skips = False
            self._can_skip = not self.codec.name.startswith('lib')  # libdav1d would go on to skip
            self.depth = self.codec.reorder_depth
            self.size = self.codec.height, self.codec.width
            self.is_mp4 = 'mp4' in self._container.format.name

    def __del__(self) -> None:
        if hasattr(self, '_container'):
            self._container.close()  # or the decoder's memory stays

    def seek(self, time: int) -> None:
        """Goes to a keyframe at or before a time."""
        with _reading(self.path):
            self._container.seek(time, stream=self._stream)

    def packets(self) -> Iterator:
        """PyAV's packets from here on, the last of which makes the decoder give what it holds."""
        # closed by hand: a generator that PyAV's own deallocation ends leaves a packet behind, 150 bytes
        with _reading(self.path), closing(self._container.demux(self._stream)) as packets:
            for packet in packets:
                is_last = not packet.size and packet.dts is None and packet.pos is None
                if packet.size or is_last:  # empty ones repeat a frame
                    yield packet
                if is_last:  # or PyAV goes on with streams that it has met in mid-file, and fails
                    return

    def decode(self, packet, skip: bool = False) -> list:
        """PyAV's frames that the decoder gives after a packet, which it may skip if no other frame refers to it."""
        try:
            if skip is not self._skips and self._can_skip:
                self.codec.skip_frame = 'NONREF' if skip else 'DEFAULT'
                self._skips = skip
            return packet.decode()
        except Exception as error:  # as in `_reading`, in less time
            raise _unreadable(self.path, error) from error

    def index(self) -> _Packets:
        """The packets of the whole file by MP4's index, else none. It has no times of showing; those of decoding stand
        for them.

        Raises:
            UnreadableClip: If the file ends before the frames that it lists.
        """
        if not self.is_mp4 or not self._stream.frames:
            return _Packets()
        with _reading(self.path):
            index = self._stream.index_entries
            missing = index[-1].pos + index[-1].size - os.path.getsize(self.path) if len(index) else 0
            if missing > 0:
                raise UnreadableClip(self.path, f'cut off: {missing} bytes are missing')
            if len(index) < self._stream.frames or self.depth:
                return _Packets()
            entries = [(entry.timestamp, entry.is_keyframe, entry.is_discard, entry.size) for entry in index]
            times, is_key, is_discarded, size = zip(*entries, strict=True)
            return _Packets(times, times, is_key, is_discarded, [False] * len(index), size)

    def list_packets(self) -> _Packets:
        """All packets from here on, not decoded."""
        packets = [
            (packet.pts, packet.dts, packet.is_keyframe, packet.is_discard, packet.is_corrupt, packet.size)
            for packet in self.packets()
            if packet.size
        ]
        return _Packets(*zip(*packets, strict=True))

    def has_frame_in_each(self, packets: _Packets) -> bool:
        """Whether each packet is sure to give one frame, the same wherever reading starts."""
        name = self.codec.codec.canonical_name
        if name == 'mpeg4':  # those without a frame are empty but for a header
            return min(packets.size) >= 32
        if name == 'h264' and self.codec.field_order not in (0, 1):  # each field may have a packet of its own
            return False
        if self.codec.pix_fmt == 'pal8':  # the palette comes with the first packet only
            return False
        return name in self.ONE_FRAME_A_PACKET or self.codec.codec.intra_only


class _Times(NamedTuple):
    """Frames that are known by the times when they are shown."""

    number_at: dict[int, int]
    """Of a time, which number the frame shown then has."""

    keys: list[tuple[int, int, int]]
    """Packets that decoding can start from, in order: number of the first frame shown then or later, when it is shown,
    time to search for."""

    @classmethod
    def of(cls, video: _OpenVideo, packets: _Packets) -> '_Times | None':
        """Numbers the frames of a video in the order of their times.

        Returns:
            None if that may not be the order in which they are decoded.
        """
        pts, is_key = packets.pts, packets.is_key
        shown = [time for time, is_discarded in zip(pts, packets.is_discarded, strict=True) if not is_discarded]
        if (
            not shown
            or None in pts
            or len(set(pts)) < len(pts)
            or any(packets.is_corrupt)
            or not is_key[0]
            or pts[0] > min(shown)  # frames before the first keyframe may not be decodable
            or not video.has_frame_in_each(packets)
        ):
            return None
        order = sorted(range(len(shown)), key=shown.__getitem__)
        # A decoder that holds `depth` frames back puts them in order if none comes later than that. And if it expects
        # to reorder while the times rise from packet to packet, they are times of decoding, as AVI's are.
        delay = max(map(operator.sub, order, range(len(order))))
        if not (0 < delay <= video.depth or delay == video.depth == 0):
            return None
        shown.sort()
        # Containers are searched by the time of decoding; Matroska and WebM, which do not know it, by that of showing,
        # and MP4 too, from which FFmpeg subtracts what they differ by.
        search = pts if video.is_mp4 or None in packets.dts else packets.dts
        keys = [(bisect_left(shown, pts[i]), pts[i], search[i]) for i in range(len(pts)) if is_key[i]]
        return cls(dict(zip(shown, range(len(shown)))), sorted(keys))

    def key_before(self, number: int) -> int:
        """Which key is the last to decode a frame from."""
        return bisect_right(self.keys, (number, math.inf)) - 1


class _Turn(NamedTuple):
    """How a stored frame is shown: transposed, then mirrored."""

    transposes: bool = False
    mirrors_x: bool = False
    mirrors_y: bool = False

    @classmethod
    def of(cls, frame) -> '_Turn':
        """What the display matrix of PyAV's frame says. Of angles between quarter turns nothing is known: as stored."""
        from av.sidedata.sidedata import SideDataContainer

        try:
            data = SideDataContainer(frame).get('DISPLAYMATRIX')  # `frame.side_data` makes a cycle of references
        except ValueError:  # there is a kind beside it that PyAV does not know
            return (cls(), cls(True, False, True), cls(False, True, True), cls(True, True, False))[
                round(frame.rotation / 90) % 4
            ]
        if data is None:
            return cls()
        # A pixel (x, y) is shown at (a x + c y, b x + d y).
        a, b, _, c, d = np.frombuffer(data, np.int32, 5).tolist()
        if abs(a) + abs(d) < 0.02 * (abs(b) + abs(c)):
            return cls(True, c < 0, b < 0)
        if abs(b) + abs(c) < 0.02 * (abs(a) + abs(d)):
            return cls(False, a < 0, d < 0)
        return cls()

    def size(self, size: tuple[int, int]) -> tuple[int, int]:
        """Height and width of what is stored, when shown, and the other way round."""
        return size[::-1] if self.transposes else size

    def __call__(self, picture: np.ndarray) -> np.ndarray:
        """Turns (H, W, 3)."""
        if not any(self):
            return picture
        if self.transposes:
            picture = picture.swapaxes(0, 1)
        return np.ascontiguousarray(picture[:: -1 if self.mirrors_y else 1, :: -1 if self.mirrors_x else 1])


class _Distrusted(Exception):
    """The frames are not those that the times promised."""


class VideoFileReader:
    """A video file, through PyAV.

    **The number of a frame is its place in plain decoding**, that is, when the file is decoded from its first packet to
    its last, as ffmpeg does. Where packets and times prove that frames are decoded in the order of their times, one for
    each packet, frames are numbered by them and reached from the last keyframe before. Of other files (a cut that
    begins between keyframes; times that were copied from AVI, which knows only those of decoding; codecs with packets
    that show nothing) the frames are counted by decoding the file once, and reached by decoding from its start. What
    comes before the first frame that can be decoded has no number.

    Frames are as ffmpeg shows them: upright (the display matrix is applied, in quarter turns and mirrored), without
    those that an edit list hides, and of one size: where it changes in mid-stream, they are scaled to the first frame's
    with bicubic interpolation, and the log tells so. A frame has the same pixels whatever was read before it.

    One decoder thread a clip: the data loader's workers already fill the cores. The time goes into decoding the frames
    since the last keyframe, so those that no other frame refers to are passed over unless they are asked for.

    Args:
        path: The video file.

    Raises:
        ImportError: If PyAV is not installed.
        UnreadableClip: If the file is missing, empty, no video, cut off before its index, without a decoder, or without
            a frame.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        try:
            if os.path.getsize(path) == 0:
                raise UnreadableClip(path, 'the file is empty')
        except OSError as error:
            raise UnreadableClip(path, error.strerror or str(error)) from error
        self._size: tuple[int, int] | None = None
        self._size_is_sure = False
        with _explained('not a readable video'):
            self._video = _OpenVideo(path)
            self._by_index = True
            self._number_frames()

    def _number_frames(self) -> None:
        """Numbers frames by their times, if these can be trusted."""
        packets = self._video.index()
        self._by_index = self._by_index and bool(packets.pts)
        try:
            self._times = _Times.of(self._video, packets if self._by_index else self._video.list_packets())
        except UnreadableClip as failure:  # what precedes the damage may be decodable
            if failure.is_momentary:
                raise
            self._times = None
        if self._times:
            self._length = len(self._times.number_at)
        else:
            self._count_frames()

    def _count_frames(self) -> None:
        """Numbers frames by decoding them all, or those before the first damage."""
        self._times, self._length = None, 0
        try:
            with closing(self._plainly()) as frames:
                for frame in frames:
                    if not self._length:
                        self._settle_size(frame)
                    self._length += 1
        except UnreadableClip as failure:
            if failure.is_momentary or not self._length:
                raise
        if not self._length:
            raise UnreadableClip(self.path, 'it shows none of its frames')

    def __len__(self) -> int:
        return self._length

    def get_batch(self, indices: Sequence[int]) -> np.ndarray:
        wanted = sorted(set(indices))
        task = f'cannot decode frames {wanted[0]} to {wanted[-1]}'
        if wanted[0] < 0 or wanted[-1] >= len(self):
            raise UnreadableClip(self.path, f'{task} of {len(self)}')
        with _explained(task):
            try:
                frames = dict(self._at_times(wanted) if self._times else self._at_places(wanted))
            except _Distrusted:
                self._number_frames_again()
                frames = {}
        if len({frame.shape for frame in frames.values()}) != 1:  # none, or the size of the first was met last
            return self.get_batch(indices)
        return np.stack([frames[index] for index in indices])

    def __iter__(self) -> Iterator[np.ndarray]:
        number = 0
        try:
            with closing(self._plainly()) as frames:
                for frame in frames:
                    yield self._picture(frame)
                    number += 1
        except UnreadableClip as failure:
            task = f'cannot decode frames {number} to {max(number, len(self) - 1)}'
            raise UnreadableClip(self.path, f'{task} ({failure.reason})') from failure.__cause__
        if not number:
            raise UnreadableClip(self.path, 'it shows none of its frames')
        if number != len(self):  # it is known better now
            self._times, self._length = None, number

    def _number_frames_again(self) -> None:
        """Numbers frames by packets and not by the index, or by decoding and not by times."""
        if self._by_index:
            self._by_index = False
            self._video = _OpenVideo(self.path)
            self._number_frames()
        else:
            self._count_frames()

    def _at_times(self, wanted: Sequence[int]) -> Iterator[tuple[int, np.ndarray]]:
        """Frames with their numbers, each from the last keyframe before."""
        for key, group in itertools.groupby(wanted, self._times.key_before):
            yield from self._from_key(key, set(group))

    def _from_key(self, key: int, wanted: set[int]) -> Iterator[tuple[int, np.ndarray]]:
        """Frames that follow the same keyframe, with their numbers.

        Raises:
            _Distrusted: If the file does not go on as its times promised.
        """
        video, (_, time, search) = self._video, self._times.keys[key]
        try:
            video.seek(search)
        except UnreadableClip as failure:
            raise _Distrusted from failure
        has_begun, latest, last = False, time, -1
        with closing(video.packets()) as packets:
            for packet in packets:
                if self._by_index and packet.pts != packet.dts:
                    raise _Distrusted
                has_begun = has_begun or (packet.is_keyframe and packet.pts == time)
                if not has_begun:
                    continue
                is_late = packet.pts is not None and packet.pts < latest  # shown before one that was decoded earlier
                latest = latest if is_late or packet.pts is None else packet.pts
                can_be_skipped = is_late and self._times.number_at.get(packet.pts) not in wanted
                for frame in video.decode(packet, can_be_skipped):
                    number = self._times.number_at.get(frame.pts, -1)
                    is_key_not_intra = frame.pts == time and frame.pict_type not in (0, 1)  # 0: unknown
                    if number <= last or is_key_not_intra or video.codec.reorder_depth > video.depth:
                        raise _Distrusted
                    last = number
                    if number in wanted:
                        yield number, self._picture(frame)
                        wanted.remove(number)
                        if not wanted:
                            return
        raise _Distrusted

    def _at_places(self, wanted: Sequence[int]) -> Iterator[tuple[int, np.ndarray]]:
        """Frames with their numbers, counted from the start of the file."""
        asked = set(wanted)
        with closing(self._plainly()) as frames:
            for number, frame in enumerate(frames):
                if number in asked:
                    yield number, self._picture(frame)
                if number == wanted[-1]:
                    return
        raise UnreadableClip(self.path, 'it has become shorter')

    def _plainly(self) -> Iterator:
        """PyAV's frames, all in the order of decoding. The file is opened anew: some cannot be searched for their
        start, and what is said once at the start (a palette) must be read again."""
        video = _OpenVideo(self.path)
        has_begun, failure = False, None
        with closing(video.packets()) as packets:
            for packet in packets:
                try:
                    frames = video.decode(packet)
                except UnreadableClip as error:
                    if has_begun or self._times:
                        raise
                    failure = error.with_traceback(None)  # which would keep the file open
                    continue
                for frame in frames:
                    has_begun = True
                    yield frame
        if failure and not has_begun:
            raise failure

    def _picture(self, frame) -> np.ndarray:
        """PyAV's frame, upright and of the size of the first: (H, W, 3), uint8 RGB."""
        with _reading(self.path):
            turn = _Turn.of(frame)
            stored = frame.height, frame.width
            size = turn.size(stored)
            if self._size is None and stored == self._video.size:  # the file's header has the size of the first
                self._size = size
            if size != self._size and not self._size_is_sure:
                with closing(self._plainly()) as frames:
                    self._settle_size(next(frames))
            scaling = None if size == self._size else 'BICUBIC'
            if scaling:
                text = f'{printable(self.path)}: its frames change size; all are scaled to that of the first'
                print_log(text, 'current', logging.WARNING)  # MMEngine tells a warning once
            height, width = turn.size(self._size)
            # threads=1: a pool of them would not survive the fork of a data loader's workers
            frame = _converter().reformat(frame, width, height, 'rgb24', interpolation=scaling, threads=1)
            return turn(frame.to_ndarray())

    def _settle_size(self, first) -> None:
        """All frames are returned in the size of the first, (H, W)."""
        with _reading(self.path):
            self._size = _Turn.of(first).size((first.height, first.width))
        self._size_is_sure = True


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
