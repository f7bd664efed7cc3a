"""Readers: random access to the frames of one clip, whether a video file or a folder of images."""

import os
import re
from collections.abc import Sequence
from typing import Protocol

import cv2
import numpy as np

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
            indices: Frame numbers in ``[0, len)``, increasing and without duplicates.

        Returns:
            Array of shape (len(indices), H, W, 3), uint8 RGB.
        """


class DecordReader:
    """A video file, through decord.

    One decoder thread a clip: the data loader's workers already fill the cores. Frames are returned at their native
    size; asking decord for a smaller one was measured to gain nothing, because the time goes into decoding the frames
    since the last keyframe.

    Args:
        path: The video file.

    Raises:
        ImportError: If decord is not installed.
        UnreadableClip: If the file is missing, empty, no video, cut off before its index, or without a frame.
    """

    def __init__(self, path: str) -> None:
        try:
            import decord
        except ImportError as error:
            raise ImportError('Reading videos needs decord: pip install decord') from error
        decord.logging.set_level(decord.logging.QUIET)  # what matters reaches the user in UnreadableClip
        self.path = path
        self._errors = (decord.DECORDError, RuntimeError)
        try:
            if os.path.getsize(path) == 0:
                raise UnreadableClip(path, 'the file is empty')
            self._reader = decord.VideoReader(path, num_threads=1)
        except OSError as error:
            raise UnreadableClip(path, error.strerror or str(error)) from error
        except self._errors as error:
            raise UnreadableClip(path, f'not a readable video{_decord_message(error)}') from error
        if not len(self):
            raise UnreadableClip(path, 'the video has no frames')

    def __len__(self) -> int:
        return len(self._reader)

    def get_batch(self, indices: Sequence[int]) -> np.ndarray:
        try:
            return self._reader.get_batch(list(indices)).asnumpy()
        except self._errors as error:
            frames = f'cannot decode frames {indices[0]} to {indices[-1]}'
            raise UnreadableClip(self.path, f'{frames}{_decord_message(error)}') from error


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
        frames = [read_image(self.path, self._names[index]) for index in indices]
        if len({frame.shape for frame in frames}) > 1:
            sizes = ', '.join(
                f'{self._names[i]} {f.shape[1]}x{f.shape[0]}' for i, f in zip(indices, frames, strict=True)
            )
            raise UnreadableClip(self.path, f'frames differ in size: {sizes}')
        return np.stack(frames)


def read_image(folder: str, name: str) -> np.ndarray:
    """Read a frame that is a file.

    Returns:
        ``(H, W, 3)``, uint8 RGB.

    Raises:
        UnreadableClip: If the file is missing, damaged, cut off or no image; names the folder and the file.
    """
    try:
        data = np.fromfile(os.path.join(folder, name), np.uint8)
    except OSError as error:
        raise UnreadableClip(folder, f'{name}: {error.strerror or error}') from error
    raw = data.tobytes()
    # libjpeg paints what is missing of a cut-off file in grey and OpenCV returns it as if it were whole.
    cut_off = raw.startswith(b'\xff\xd8') and b'\xff\xd9' not in raw[2:]
    image = cv2.imdecode(data, cv2.IMREAD_COLOR) if len(data) and not cut_off else None
    if image is None:
        raise UnreadableClip(folder, f'{name} is no readable image')
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def _decord_message(error: Exception) -> str:
    """What decord says, in brackets: one line, without source positions; nothing if it only repeats the path."""
    message = re.sub(r'\[[\d:]+\] \S+:\d+: ', '', str(error)).strip().partition('\n')[0]
    return '' if message.startswith('Error reading') else f' ({message})'
