"""Masks on disk: PNG files whose pixels are object or class ids, with colours to look at."""

from pathlib import Path

import numpy as np
from PIL import Image

from mmvidmae.utils.files import whole_file

ID_MODES = ('P', 'L', '1')
"""Pillow's modes of images that hold one id a pixel."""


def id_palette() -> np.ndarray:
    """Colours of the ids as in PASCAL VOC and DAVIS: uint8 RGB ``(256, 3)``, id 0 black, 1 dark red, 2 green.

    Bit ``3 k + c`` of the id is bit ``7 - k`` of colour channel ``c``.
    """
    ids = np.arange(256)
    palette = np.zeros((256, 3), dtype=np.uint8)
    for k in range(8):
        for channel in range(3):
            palette[:, channel] |= ((ids >> (3 * k + channel) & 1) << (7 - k)).astype(np.uint8)
    return palette


def read_id_map(path: str | Path) -> np.ndarray:
    """Read a mask.

    Args:
        path: An image of palette or grey values; black and white ones give 0 and 1.

    Returns:
        Uint8 ``(H, W)``: the ids, whatever their colours.

    Raises:
        ValueError: If the image has colours instead of ids.
        OSError: If it cannot be read.
    """
    try:
        with Image.open(path) as image:
            mode, ids = image.mode, np.array(image)
    except OSError as error:
        raise OSError(f'{path} cannot be read as a mask: {error}') from error
    if mode not in ID_MODES:
        raise ValueError(
            f'{path} is no id map: it is an image of mode {mode}, and only palette (P) or grey (L) images hold one id '
            'a pixel'
        )
    return ids.astype(np.uint8)


def write_id_map(path: str | Path, ids: np.ndarray) -> None:
    """Write a mask as a palette PNG with the colours of :func:`id_palette`, in one step; folders are made.

    Args:
        path: Ends in ``.png``.
        ids: Uint8 ``(H, W)``.
    """
    image = Image.fromarray(ids)
    image.putpalette(id_palette().tobytes())
    with whole_file(path) as part:
        image.save(part, format='PNG')
