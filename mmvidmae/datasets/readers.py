"""Readers with random access to the frames of one clip, a video file or a folder of images."""

import itertools
import logging
import math
import operator
import os
import threading
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from typing import BinaryIO, NamedTuple, Protocol

import numpy as np
from mmengine.logging import print_log

from mmvidmae.utils.images import UnreadableImage, decode_image

from .sources import image_names


class VideoReadError(Exception):
    """Error of a clip that cannot be opened, or whose frames cannot be decoded.

    Args:
        path: Path of the clip.
        reason: Short description of the problem.
    """

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(path, reason)
        self.path = path
        self.reason = reason

    def __str__(self) -> str:
        return f'{printable(self.path)}: {self.reason}'

    @property
    def is_momentary(self) -> bool:
        """Whether the clip may be readable later. True for system errors (a missing file, a file server that does not
        answer, too many open files), False for errors in the file's content."""
        return isinstance(self.__cause__, OSError | MemoryError)


def printable(path: str) -> str:
    """Format a path for logs and messages. Bytes that are not UTF-8 are escaped."""
    return path.encode('utf-8', 'backslashreplace').decode()


class ClipReader(Protocol):
    """Interface of a clip for the data pipeline. Opening and reading raise ``VideoReadError``. An open clip has at
    least one frame."""

    def __len__(self) -> int:
        """Number of frames."""

    def get_batch(self, indices: Sequence[int]) -> np.ndarray:
        """Decode frames.

        Args:
            indices: Frame numbers in ``[0, len)``, in any order. Each frame is decoded once.

        Returns:
            Array of shape (len(indices), H, W, 3), uint8 RGB.
        """

    def __iter__(self) -> Iterator[np.ndarray]:
        """Iterate over all frames in order, (H, W, 3), uint8 RGB. Each frame is decoded once."""


_LOCAL = threading.local()


def _converter():
    """PyAV's frame converter, one per thread. With one per clip, 10 kB per clip stayed in memory when measured."""
    if not hasattr(_LOCAL, 'converter'):
        from av.video.reformatter import VideoReformatter

        _LOCAL.converter = VideoReformatter()
    return _LOCAL.converter


@contextmanager
def _reading(path: str) -> Iterator[None]:
    """Convert any error of PyAV calls in the ``with`` block to ``VideoReadError``. Damaged files raise more than FFmpeg
    errors: AttributeError, IndexError, MemoryError, UnicodeDecodeError and others were observed."""
    try:
        yield
    except VideoReadError:
        raise
    except Exception as error:
        raise _unreadable(path, error) from error


def _unreadable(path: str, error: Exception) -> VideoReadError:
    return VideoReadError(path, getattr(error, 'strerror', None) or f'{type(error).__name__}: {error}')


@contextmanager
def _explained(reason: str) -> Iterator[None]:
    """Prefix the reason of a ``VideoReadError`` with the failed task."""
    try:
        yield
    except VideoReadError as failure:
        raise VideoReadError(failure.path, f'{reason} ({failure.reason})') from failure.__cause__


class ClipData(Protocol):
    """Bytes of a clip, wherever they are."""

    @property
    def size(self) -> int:
        """Number of bytes."""

    def open(self) -> str | BinaryIO:
        """What FFmpeg reads: a URL, or a file at its start that can be searched."""


class _File(NamedTuple):
    """A clip that is a file."""

    path: str

    @property
    def size(self) -> int:
        return os.path.getsize(self.path)

    def open(self) -> str:
        return f'file:{self.path}'  # without "file:", FFmpeg reads text before a colon as a protocol


class _Packets(NamedTuple):
    """Properties of packets that are known without decoding, one entry per packet."""

    pts: Sequence[int | None] = ()
    dts: Sequence[int | None] = ()
    is_key: Sequence[bool] = ()
    is_discarded: Sequence[bool] = ()
    is_corrupt: Sequence[bool] = ()
    size: Sequence[int] = ()


class _OpenVideo:
    """A video file and its decoder, before the first packet. Errors of PyAV become ``VideoReadError``.

    Args:
        path: Path of the video, for messages.
        data: Its bytes.
    """

    MAX_PIXELS = 2**27
    """Largest number of pixels in a frame, 400 MB as RGB. Only damaged headers specify larger frames."""

    ONE_FRAME_A_PACKET = frozenset({'av1', 'h264', 'hevc', 'mpeg1video', 'mpeg2video', 'vp9'})
    """Codecs with exactly one shown frame in each packet, besides intra-only codecs. Other codecs have packets without
    a shown frame (VP8, Theora, VC-1) or with two (DivX)."""

    def __init__(self, path: str, data: ClipData) -> None:
        try:
            import av
        except ImportError as error:
            raise ImportError('Reading videos needs PyAV: pip install av') from error
        self.path, self.data = path, data
        options = {'max_pixels': str(self.MAX_PIXELS)}
        with _reading(path):
            self._container = av.open(data.open(), options=options, metadata_errors='replace')  # tags: any encoding
            if self._container.format.name.endswith(('_pipe', 'image2')):
                raise VideoReadError(path, 'an image')
            self._stream = self._container.streams.best('video')  # not a cover image, as in decord
            if self._stream is None:
                raise VideoReadError(path, 'it has no pictures')
            if self._stream.codec_context is None:
                raise VideoReadError(path, 'there is no decoder for it')
            for stream in self._container.streams:
                if stream is not self._stream:
                    stream.discard = av.stream.Discard.all
            self.codec = self._stream.codec_context
            self.codec.options = options
            self.codec.thread_count = 1
            self._skips = False
            self._can_skip = not self.codec.name.startswith('lib')  # libdav1d would keep skipping
            self.depth = self.codec.reorder_depth
            self.size = self.codec.height, self.codec.width
            self.is_mp4 = 'mp4' in self._container.format.name

    def __del__(self) -> None:
        if hasattr(self, '_container'):
            self._container.close()  # otherwise the decoder's memory is not freed

    def span(self, start: float, stop: float) -> range:
        """Presentation times from ``start`` to before ``stop``, both in seconds after the video's start."""
        zero, base = self._stream.start_time or 0, self._stream.time_base
        ticks = (zero + math.ceil(second / base) if second < math.inf else 2**62 for second in (start, stop))
        return range(*ticks)

    @property
    def can_start_anywhere(self) -> bool:
        """Whether decoding can start after any seek. A palette is only in the first packet, and a search of MPEG
        program streams ends at any frame."""
        return self._container.format.name != 'mpeg' and not self.has_palette

    @property
    def has_palette(self) -> bool:
        """Whether pixels are indices of a palette."""
        # PyAV 17 crashes on `codec.pix_fmt` if there is no format.
        return self.codec.format is not None and self.codec.format.name == 'pal8'

    @property
    def seconds(self) -> float | None:
        """Duration that the file states, if it states one."""
        if self._stream.duration:
            return float(self._stream.duration * self._stream.time_base)
        if not self._container.duration:
            return None
        late = 'matroska' in self._container.format.name  # its duration counts from 0, not from the first frame
        return (self._container.duration - late * (self._container.start_time or 0)) / 1e6

    def seek(self, time: int) -> None:
        """Seek to a keyframe at or before a time."""
        with _reading(self.path):
            self._container.seek(time, stream=self._stream)

    def packets(self) -> Iterator:
        """Yield PyAV's packets from the current position. The last one flushes the decoder."""
        # closed explicitly: a generator that PyAV deallocates itself leaks a packet of 150 bytes
        with _reading(self.path), closing(self._container.demux(self._stream)) as packets:
            for packet in packets:
                is_last = not packet.size and packet.dts is None and packet.pos is None
                if packet.size or is_last:  # empty ones repeat a frame
                    yield packet
                if is_last:  # otherwise PyAV continues with streams that begin in mid-file, and fails
                    return

    def decode(self, packet, skip: bool = False) -> list:
        """Decode a packet and return PyAV's frames. With ``skip``, frames that no other frame refers to are skipped."""
        try:
            if skip is not self._skips and self._can_skip:
                self.codec.skip_frame = 'NONREF' if skip else 'DEFAULT'
                self._skips = skip
            return packet.decode()
        except Exception as error:  # as in `_reading`, but faster
            raise _unreadable(self.path, error) from error

    def index(self) -> _Packets:
        """Packets of the whole file from MP4's index; none for other containers. The index has no presentation times,
        so decoding times are used instead.

        Raises:
            VideoReadError: If the file ends before the frames that it lists.
        """
        if not self.is_mp4 or not self._stream.frames:
            return _Packets()
        with _reading(self.path):
            index = self._stream.index_entries
            missing = index[-1].pos + index[-1].size - self.data.size if len(index) else 0
            if missing > 0:
                raise VideoReadError(self.path, f'cut off: {missing} bytes are missing')
            if len(index) < self._stream.frames or self.depth:
                return _Packets()
            entries = [(entry.timestamp, entry.is_keyframe, entry.is_discard, entry.size) for entry in index]
            times, is_key, is_discarded, size = zip(*entries, strict=True)
            return _Packets(times, times, is_key, is_discarded, [False] * len(index), size)

    def list_packets(self, stop: float = math.inf) -> _Packets:
        """List packets from the current position to before the decoding time ``stop`` without decoding them."""
        with closing(self.packets()) as packets:
            listed = [
                (packet.pts, packet.dts, packet.is_keyframe, packet.is_discard, packet.is_corrupt, packet.size)
                for packet in itertools.takewhile(lambda packet: packet.dts is None or packet.dts < stop, packets)
                if packet.size
            ]
        return _Packets(*zip(*listed, strict=True))

    def is_interlaced(self) -> bool:
        """Whether the file, or without PyAV 18 (Python 3.10) its first frame, has fields."""
        if hasattr(self.codec, 'field_order'):
            return self.codec.field_order not in (0, 1)  # unknown, progressive
        other = type(self)(self.path, self.data)
        frames = (frame for packet in other.packets() for frame in other.decode(packet))
        return next((frame.interlaced_frame for frame in frames), True)

    def has_frame_in_each(self, packets: _Packets) -> bool:
        """Whether each packet is guaranteed to give one frame, which does not depend on where reading starts."""
        name = self.codec.codec.canonical_name
        if name == 'mpeg4':  # packets without a frame contain only a header
            return min(packets.size) >= 32
        if name == 'h264' and self.is_interlaced():  # each field may have its own packet
            return False
        if self.has_palette:  # only the first packet has it
            return False
        return name in self.ONE_FRAME_A_PACKET or self.codec.codec.intra_only


class _Times(NamedTuple):
    """Frames identified by their presentation times."""

    number_at: dict[int, int]
    """Frame number by presentation time."""

    keys: list[tuple[int, int, int]]
    """Packets from which decoding can start, in order: number of the first frame shown at or after the packet's
    presentation time, that time, and the time to seek."""

    start: float
    """Presentation time from which frames are numbered."""

    @classmethod
    def of(cls, video: _OpenVideo, packets: _Packets, span: range | None = None) -> '_Times | None':
        """Number the frames of a video in the order of their presentation times.

        Args:
            video: The open video.
            packets: Its packets, from the start or from a keyframe at or before the span.
            span: Presentation times of the frames to number; by default all.

        Returns:
            None if that order may differ from the order in which the decoder returns the frames.
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
        # A decoder that holds back `depth` frames sorts them correctly if no frame is delayed by more than that. If the
        # decoder expects to reorder but the times increase monotonically, they are decoding times, as in AVI.
        delay = max(map(operator.sub, order, range(len(order))))
        if not (0 < delay <= video.depth or delay == video.depth == 0):
            return None
        shown.sort()
        # Containers are searched by decoding time. Matroska and WebM do not store it and are searched by presentation
        # time. So is MP4, where FFmpeg subtracts the difference of the two.
        search = pts if video.is_mp4 or None in packets.dts else packets.dts
        if span is not None:
            shown = shown[bisect_left(shown, span.start) : bisect_left(shown, span.stop)]
            if not shown:
                return None
        keys = [(bisect_left(shown, pts[i]), pts[i], search[i]) for i in range(len(pts)) if is_key[i]]
        return cls(dict(zip(shown, range(len(shown)))), sorted(keys), -math.inf if span is None else span.start)

    def key_before(self, number: int) -> int:
        """Index of the last key from which a frame can be decoded."""
        return bisect_right(self.keys, (number, math.inf)) - 1


class _Turn(NamedTuple):
    """Orientation of a stored frame: transposed, then mirrored."""

    transposes: bool = False
    mirrors_x: bool = False
    mirrors_y: bool = False

    @classmethod
    def of(cls, frame) -> '_Turn':
        """Orientation from the display matrix of PyAV's frame. Other angles than quarter turns are ignored."""
        from av.sidedata.sidedata import SideDataContainer

        try:
            data = SideDataContainer(frame).get('DISPLAYMATRIX')  # `frame.side_data` makes a cycle of references
        except ValueError:  # the frame also has side data that PyAV does not know
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
        """Convert stored (height, width) to shown (height, width), or back."""
        return size[::-1] if self.transposes else size

    def __call__(self, picture: np.ndarray) -> np.ndarray:
        """Apply the orientation to a picture (H, W, 3)."""
        if not any(self):
            return picture
        if self.transposes:
            picture = picture.swapaxes(0, 1)
        return np.ascontiguousarray(picture[:: -1 if self.mirrors_y else 1, :: -1 if self.mirrors_x else 1])


class _Distrusted(Exception):
    """Raised when decoded frames do not match the listed times."""


class VideoFileReader:
    """Reader of a video file, based on PyAV.

    **Frame numbers follow sequential decoding**, from the first packet of the file to the last, as in ffmpeg. If
    packets and times prove that each packet gives one frame and that frames are decoded in the order of their times,
    frames are numbered by time. They are then decoded from the last keyframe before them. The frames of other files are
    counted by decoding the file once, and are decoded from its start. Such files are: cuts that begin between
    keyframes, files with times copied from AVI (which has only decoding times), and codecs with packets that show
    nothing. Frames before the first decodable frame have no number.

    Frames are as ffmpeg shows them. They are upright: quarter turns and mirroring of the display matrix are applied.
    Frames hidden by an edit list are left out. All frames have one size: if the size changes in mid-stream, frames are
    scaled to the size of the first frame with bicubic interpolation, and a warning is logged. The pixels of a frame do
    not depend on what was read before.

    Each clip has one decoder thread, since the data loader's workers already use all cores. Most time is spent on
    decoding the frames since the last keyframe. Frames that no other frame refers to are skipped unless requested.

    Args:
        path: Path of the video file.
        data: Bytes of the video, if they are elsewhere; ``path`` is then its name in messages.

    Raises:
        ImportError: If PyAV is not installed.
        VideoReadError: If the file is missing, empty, not a video, truncated before its index, without a decoder, or
            without a frame.
    """

    def __init__(self, path: str, data: ClipData | None = None) -> None:
        self.path = path
        self._data = data or _File(path)
        try:
            if self._data.size == 0:
                raise VideoReadError(path, 'the file is empty')
        except OSError as error:
            raise VideoReadError(path, error.strerror or str(error)) from error
        self._size: tuple[int, int] | None = None
        self._size_is_sure = False
        with _explained('not a readable video'):
            self._video = _OpenVideo(path, self._data)
            self._by_index = True
            self._number_frames()

    def _number_frames(self) -> None:
        """Number frames by their times if these are reliable, else by decoding."""
        packets = self._video.index()
        self._by_index = self._by_index and bool(packets.pts)
        self._number_by_times(lambda: _Times.of(self._video, packets if self._by_index else self._video.list_packets()))

    def _number_by_times(self, make_times: Callable[[], _Times | None]) -> None:
        try:
            self._times = make_times()
        except VideoReadError as failure:  # frames before the damage may be decodable
            if failure.is_momentary:
                raise
            self._times = None
        if self._times:
            self._length = len(self._times.number_at)
        else:
            self._count_frames()

    def _count_frames(self) -> None:
        """Number frames by decoding all of them, or those before the first damage."""
        self._times, self._length = None, 0
        try:
            with closing(self._plainly()) as frames:
                for frame in frames:
                    if not self._length:
                        self._settle_size(frame)
                    self._length += 1
        except VideoReadError as failure:
            if failure.is_momentary or not self._length:
                raise
        if not self._length:
            raise VideoReadError(self.path, 'it shows none of its frames')

    def __len__(self) -> int:
        return self._length

    def get_batch(self, indices: Sequence[int]) -> np.ndarray:
        wanted = sorted(set(indices))
        task = f'cannot decode frames {wanted[0]} to {wanted[-1]}'
        if wanted[0] < 0 or wanted[-1] >= len(self):
            raise VideoReadError(self.path, f'{task} of {len(self)}')
        with _explained(task):
            try:
                frames = dict(self._at_times(wanted) if self._times else self._at_places(wanted))
            except _Distrusted:
                self._number_frames_again()
                frames = {}
        if len({frame.shape for frame in frames.values()}) != 1:  # no frames, or the first frame was read last
            return self.get_batch(indices)
        return np.stack([frames[index] for index in indices])

    def __iter__(self) -> Iterator[np.ndarray]:
        number = 0
        try:
            with closing(self._plainly()) as frames:
                for frame in frames:
                    yield self._picture(frame)
                    number += 1
        except VideoReadError as failure:
            task = f'cannot decode frames {number} to {max(number, len(self) - 1)}'
            raise VideoReadError(self.path, f'{task} ({failure.reason})') from failure.__cause__
        if not number:
            raise VideoReadError(self.path, 'it shows none of its frames')
        if number != len(self):  # the decoded number is the true one
            self._times, self._length = None, number

    def _number_frames_again(self) -> None:
        """Number frames by packets if they were numbered by the index, else by decoding."""
        if self._by_index:
            self._by_index = False
            self._video = _OpenVideo(self.path, self._data)
            self._number_frames()
        else:
            self._count_frames()

    def _at_times(self, wanted: Sequence[int]) -> Iterator[tuple[int, np.ndarray]]:
        """Yield frames with their numbers, each decoded from the last keyframe before it."""
        for key, group in itertools.groupby(wanted, self._times.key_before):
            yield from self._from_key(key, set(group))

    def _from_key(self, key: int, wanted: set[int]) -> Iterator[tuple[int, np.ndarray]]:
        """Yield frames that follow the same keyframe, with their numbers.

        Raises:
            _Distrusted: If decoded frames do not match the listed times.
        """
        video, (_, time, search) = self._video, self._times.keys[key]
        try:
            video.seek(search)
        except VideoReadError as failure:
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
                    if frame.pts is not None and frame.pts < self._times.start:
                        continue
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
        """Yield frames with their numbers, counted from the start of the file."""
        asked = set(wanted)
        with closing(self._plainly()) as frames:
            for number, frame in enumerate(frames):
                if number in asked:
                    yield number, self._picture(frame)
                if number == wanted[-1]:
                    return
        raise VideoReadError(self.path, 'it has become shorter')

    def _plainly(self) -> Iterator:
        """Yield all frames of PyAV in decoding order. The file is reopened: some files cannot be searched for their
        start, and data that only the start contains, such as a palette, must be read again."""
        video = self._reopen()
        has_begun, failure = False, None
        with closing(video.packets()) as packets:
            for packet in packets:
                try:
                    frames = video.decode(packet)
                except VideoReadError as error:
                    if has_begun or self._times:
                        raise
                    failure = error.with_traceback(None)  # the traceback would keep the file open
                    continue
                for frame in frames:
                    has_begun = True
                    yield frame
        if failure and not has_begun:
            raise failure

    def _reopen(self) -> _OpenVideo:
        """Open the file again, where :meth:`_plainly` begins."""
        return _OpenVideo(self.path, self._data)

    def _picture(self, frame) -> np.ndarray:
        """Convert PyAV's frame to an upright picture with the size of the first frame: (H, W, 3), uint8 RGB."""
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
                print_log(text, 'current', logging.WARNING)  # MMEngine logs a warning once
            height, width = turn.size(self._size)
            # threads=1: a thread pool would not survive the fork of a data loader's workers
            frame = _converter().reformat(frame, width, height, 'rgb24', interpolation=scaling, threads=1)
            return turn(frame.to_ndarray())

    def _settle_size(self, first) -> None:
        """Set the size of all frames, (H, W), to that of the first frame."""
        with _reading(self.path):
            self._size = _Turn.of(first).size((first.height, first.width))
        self._size_is_sure = True


class VideoWindowReader(VideoFileReader):
    """Reader of a part of a video file: the frames that are shown from ``start`` to before ``stop``.

    Only packets of this part are read, and those since the last keyframe before it. Consecutive windows together have
    the frames that :class:`VideoFileReader` has, if the file's packets have presentation times.

    Args:
        path: Path of the video file.
        start: Begin in seconds after the start of the video.
        stop: End in seconds, or ``math.inf``.

    Raises:
        ImportError: If PyAV is not installed.
        VideoReadError: As :class:`VideoFileReader`, and if no frame is shown in this time. Its ``path`` ends with
            ``#t=start,stop``, the notation of W3C's media fragments.
    """

    def __init__(self, path: str, start: float, stop: float) -> None:
        self._seconds = start, stop
        super().__init__(window_name(path, start, stop), _File(path))

    def _number_frames(self) -> None:
        self._by_index = False
        self._span = self._video.span(*self._seconds)
        self._zero, second = self._video.span(0, 1).start, len(self._video.span(0, 1))
        self._place = self._span.start if self._video.can_start_anywhere else self._zero
        self._number_by_times(lambda: _Times.of(self._video, self._list_packets(second), self._span))

    def _list_packets(self, step: int) -> _Packets:
        """List the packets from a keyframe at or before the window to its end, and remember the place to search for.

        Args:
            step: First step back if there is no such keyframe.
        """
        while True:
            if self._place > self._zero:
                self._video.seek(self._place)
            packets = self._video.list_packets(self._span.stop)
            begins_early = bool(packets.pts) and packets.pts[0] is not None and packets.pts[0] <= self._span.start
            if begins_early or self._place <= self._zero:
                return packets
            # Most containers are searched by decoding time, which may be earlier than the time of presentation.
            self._place, step = max(self._zero, self._place - step), 2 * step
            self._video = _OpenVideo(self.path, self._data)

    def _reopen(self) -> _OpenVideo:
        video = super()._reopen()
        if self._place > self._zero:
            video.seek(self._place)
        return video

    def _plainly(self) -> Iterator:
        with closing(super()._plainly()) as frames:
            for frame in frames:
                if frame.pts is None:
                    raise VideoReadError(self.path, 'its frames have no times, which windows need')
                if frame.pts >= self._span.stop:
                    return
                if frame.pts >= self._span.start:
                    yield frame


def window_name(path: str, start: float, stop: float) -> str:
    """Name of a part of a video, in the notation of W3C's media fragments: ``video.mp4#t=10,20``."""
    return f'{path}#t={start:g}' + (f',{stop:g}' if stop < math.inf else '')


def video_seconds(path: str) -> float:
    """Read the duration of a video file from its header, in seconds; 0 if it states none.

    Raises:
        ImportError: If PyAV is not installed.
        VideoReadError: If the file is missing or not a video.
    """
    return _OpenVideo(path, _File(path)).seconds or 0.0


class FrameFolderReader:
    """Reader of a folder of images. The frames are the images in natural order of their names.

    Args:
        path: Path of the folder.

    Raises:
        VideoReadError: If the folder is missing or contains no image.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        try:
            self._names = image_names(path)
        except OSError as error:
            raise VideoReadError(path, error.strerror or str(error)) from error
        if not self._names:
            raise VideoReadError(path, 'the folder holds no images')

    def __len__(self) -> int:
        return len(self._names)

    def get_batch(self, indices: Sequence[int]) -> np.ndarray:
        wanted = sorted(set(indices))
        frames = dict(zip(wanted, self._read(wanted), strict=True))
        self._check_sizes(frames)
        return np.stack([frames[index] for index in indices])

    def __iter__(self) -> Iterator[np.ndarray]:
        (first,) = self._read([0])
        for number in range(len(self)):
            (frame,) = self._read([number]) if number else (first,)
            self._check_sizes({0: first, number: frame})
            yield frame

    def _read(self, numbers: Sequence[int]) -> list[np.ndarray]:
        return [read_image(self.path, self._names[number]) for number in numbers]

    def _check_sizes(self, frames: dict[int, np.ndarray]) -> None:
        if len({frame.shape for frame in frames.values()}) > 1:
            sizes = ', '.join(f'{self._names[i]} {f.shape[1]}x{f.shape[0]}' for i, f in frames.items())
            raise VideoReadError(self.path, f'frames differ in size: {sizes}')


class ImageFileReader:
    """Reader of one picture, a clip of one frame.

    Args:
        path: Path of the image file.
        data: Its content, if it is elsewhere; ``path`` is then its name in messages.

    Raises:
        VideoReadError: If the file is missing, damaged, truncated or not an image.
    """

    def __init__(self, path: str, data: bytes | None = None) -> None:
        try:
            if data is None:
                with open(path, 'rb') as file:
                    data = file.read()
            self._picture = decode_image(data)
        except OSError as error:
            raise VideoReadError(path, error.strerror or str(error)) from error
        except UnreadableImage as error:
            raise VideoReadError(path, str(error)) from error

    def __len__(self) -> int:
        return 1

    def get_batch(self, indices: Sequence[int]) -> np.ndarray:
        return np.stack([self._picture for _ in indices])

    def __iter__(self) -> Iterator[np.ndarray]:
        yield self._picture


def read_image(folder: str, name: str) -> np.ndarray:
    """Read a frame from an image file with :func:`mmvidmae.utils.images.decode_image`.

    Returns:
        Upright frame ``(H, W, 3)``, uint8 RGB.

    Raises:
        VideoReadError: If the file is missing, damaged, truncated or not an image. The message names folder and file.
    """
    try:
        with open(os.path.join(folder, name), 'rb') as file:
            return decode_frame(folder, name, file.read())
    except OSError as error:
        raise VideoReadError(folder, f'{name}: {error.strerror or error}') from error


def decode_frame(folder: str, name: str, data: bytes) -> np.ndarray:
    """Decode a frame of a clip, as :func:`read_image` does.

    Raises:
        VideoReadError: If it is damaged, truncated or not an image. The message names folder and file.
    """
    try:
        return decode_image(data)
    except UnreadableImage as error:
        raise VideoReadError(folder, f'{name} is {error}') from error
