"""Videos of pictures."""

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
"""Codecs by suffix; all others hold H.264."""


def write_video(path: str | Path, pictures: Iterable[np.ndarray], fps: float = 25) -> None:
    """Write pictures as a video, which appears when it is whole.

    Args:
        path: The video; its suffix chooses the format.
        pictures: uint8 RGB ``(H, W, 3)``, all of one size, at least one; odd sides lose a pixel.
        fps: Pictures a second.

    Raises:
        ValueError: If there are no pictures, one has another size than the first, or the format does not allow this
            size or rate.
    """
    import av

    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f'{path.stem}.partial{path.suffix}')
    rate = Fraction(fps).limit_denominator(1001)
    stream = None
    try:
        with ExitStack() as opened:
            for number, picture in enumerate(pictures):
                if stream is None:
                    size = picture.shape
                    # a path with a colon is no protocol
                    container = opened.enter_context(av.open(f'file:{os.path.abspath(partial)}', 'w'))
                    stream = container.add_stream(CODECS.get(path.suffix.lower(), 'libx264'), rate=rate)
                    stream.height, stream.width = (side // 2 * 2 for side in size[:2])
                    stream.pix_fmt = 'yuv420p'
                    if path.suffix.lower() == '.avi':
                        stream.codec_context.max_b_frames = 0  # it has no times to show frames at
                elif picture.shape != size:
                    raise ValueError(
                        f'{path}: picture {number} has {_pixels(picture.shape)}, those before {_pixels(size)}, and a '
                        'video has one size'
                    )
                picture = np.ascontiguousarray(picture[: stream.height, : stream.width])
                frame = av.VideoFrame.from_ndarray(picture, format='rgb24')
                frame.pts, frame.time_base = number, 1 / rate
                container.mux(stream.encode(frame))
            if stream is None:
                raise ValueError(f'{path}: there are no pictures to write')
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
