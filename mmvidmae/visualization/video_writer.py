"""Videos of pictures."""

from collections.abc import Iterable
from contextlib import ExitStack, closing
from pathlib import Path

import numpy as np
from imageio_ffmpeg import write_frames


def write_video(path: str | Path, pictures: Iterable[np.ndarray], fps: float = 25) -> None:
    """Write pictures as a video, which appears when it is whole.

    Args:
        path: The video; its suffix chooses the format.
        pictures: uint8 RGB ``(H, W, 3)``, all of one size, at least one; odd sides lose a pixel.
        fps: Pictures a second.

    Raises:
        ValueError: If there are no pictures.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f'{path.stem}.partial{path.suffix}')
    writer = None
    try:
        with ExitStack() as opened:
            for picture in pictures:
                height, width = (side // 2 * 2 for side in picture.shape[:2])
                if writer is None:
                    writer = write_frames(partial, (width, height), fps=fps, macro_block_size=2)
                    opened.enter_context(closing(writer)).send(None)
                writer.send(np.ascontiguousarray(picture[:height, :width]))
        if writer is None:
            raise ValueError(f'{path}: there are no pictures to write')
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
