"""Writing of videos."""

import os
from collections.abc import Iterable
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path

import numpy as np

CODECS = {
    '.mpeg': 'mpeg2video',
    '.mpg': 'mpeg2video',
    '.ogv': 'libvpx',
    '.vob': 'mpeg2video',
    '.webm': 'libvpx-vp9',
    '.wmv': 'wmv2',
}
"""Codecs by suffix. All other formats get H.264."""


def write_video(path: str | Path, images: Iterable[np.ndarray], fps: float = 25) -> None:
    """Write images as a video. The file appears when it is complete.

    Args:
        path: Video file. The suffix sets the format.
        images: At least one image ``(H, W, 3)``, uint8 RGB, all of one size. Odd sides lose a pixel.
        fps: Frame rate.

    Raises:
        ValueError: If there are no images, their sizes differ, or the format does not allow this size or frame rate.
    """
    import av

    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f'{path.stem}.partial{path.suffix}')
    rate = Fraction(fps).limit_denominator(1001)
    stream = None
    try:
        with ExitStack() as opened:
            for number, image in enumerate(images):
                if stream is None:
                    size = image.shape
                    # a path with a colon is no protocol
                    container = opened.enter_context(av.open(f'file:{os.path.abspath(partial)}', 'w'))
                    stream = container.add_stream(CODECS.get(path.suffix.lower(), 'libx264'), rate=rate)
                    stream.height, stream.width = (side // 2 * 2 for side in size[:2])
                    stream.pix_fmt = 'yuv420p'
                    if path.suffix.lower() == '.avi':
                        stream.codec_context.max_b_frames = 0  # it has no times to show frames at
                elif image.shape != size:
                    raise ValueError(
                        f'{path}: image {number} has {_pixels(image.shape)}, those before {_pixels(size)}: '
                        'all images of a video must have one size'
                    )
                image = np.ascontiguousarray(image[: stream.height, : stream.width])
                frame = av.VideoFrame.from_ndarray(image, format='rgb24')
                frame.pts, frame.time_base = number, 1 / rate
                container.mux(stream.encode(frame))
            if stream is None:
                raise ValueError(f'{path}: there are no images to write')
            container.mux(stream.encode())
        partial.replace(path)
    except av.error.FFmpegError as error:
        raise ValueError(
            f'{path}: a video of {_pixels(size)} and {float(rate):g} frames a second cannot be written '
            f'({error.strerror})'
        ) from error
    finally:
        partial.unlink(missing_ok=True)


def _pixels(shape: tuple[int, ...]) -> str:
    return f'{shape[1]} x {shape[0]} pixels'
