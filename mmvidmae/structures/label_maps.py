"""Masks on disk: PNG files whose pixels are object or class ids, with colors to look at."""

from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from mmvidmae.utils.files import atomic_write
from mmvidmae.utils.images import UnreadableImage, decode_ids

ID_MODES = ('P', 'L', '1')
"""Pillow's modes of images that hold one id a pixel."""

VOID = 255
"""What is no object's nor background's: the id of pixels that do not count."""


def id_palette() -> np.ndarray:
    """Colors of the ids as in PASCAL VOC and DAVIS: uint8 RGB ``(256, 3)``, id 0 black, 1 dark red, 2 green.

    Bit ``3 k + c`` of the id is bit ``7 - k`` of color channel ``c``.
    """
    ids = np.arange(256)
    palette = np.zeros((256, 3), dtype=np.uint8)
    for k in range(8):
        for channel in range(3):
            palette[:, channel] |= ((ids >> (3 * k + channel) & 1) << (7 - k)).astype(np.uint8)
    return palette


def read_label_map(path: str | Path) -> np.ndarray:
    """Read a mask.

    Args:
        path: An image of palette or gray values; black and white ones give 0 and 1.

    Returns:
        Uint8 ``(H, W)``: the ids, whatever their colors, upright as the frames are (EXIF).

    Raises:
        ValueError: If the image has colors instead of ids.
        OSError: If it cannot be read.
    """
    try:
        ids, mode = decode_ids(str(path))
    except (OSError, UnreadableImage) as error:
        raise OSError(f'{path} cannot be read as a mask: {getattr(error, "strerror", None) or error}') from error
    if mode not in ID_MODES:
        raise ValueError(
            f'{path} is no label map: it is an image of mode {mode}, and only palette (P) or gray (L) images hold one '
            'id a pixel'
        )
    return ids.astype(np.uint8)


def read_objects(path: str | Path, merge_objects: bool = False) -> np.ndarray:
    """Read a mask of objects: :func:`read_label_map`, then :func:`to_objects`.

    Raises:
        OSError, ValueError: As these.
    """
    return to_objects(read_label_map(path), str(path), merge_objects)


def to_objects(ids: np.ndarray, name: str, merge_objects: bool = False) -> np.ndarray:
    """The objects of a label map, void (255) as background.

    Args:
        ids: Uint8 ``(H, W)``.
        name: Of the mask, for the error.
        merge_objects: Whether all that is not 0, 255 too, is one object, with id 1.

    Returns:
        Uint8 ``(H, W)``.

    Raises:
        ValueError: If the values are shades and not ids: those of soft edges or of JPEG's noise.
    """
    values, shades = _shades(ids)
    # Two objects may be hardly to be seen; but of few ids none is likely to be above 200, as the shades of 255 are.
    if 2 * len(shades) > len(values) and len(shades) >= (2 if shades.max() > 200 else 3):
        raise ValueError(
            f'{name} holds shades and not ids: of its values, {len(values)} beside 0, {len(shades)} form no area, such '
            f'as {", ".join(map(str, shades[:3]))}. Soft edges and the noise of JPEG look like this. Give each object '
            'one value, 0 elsewhere, and save it as PNG'
        )
    if merge_objects:
        return (ids > 0).astype(np.uint8)
    return np.where(ids == VOID, 0, ids).astype(np.uint8)


def nothing_given(masks: Mapping[str, np.ndarray]) -> ValueError:
    """The error for masks without any object, with a hint if they are masks of 0 and 255.

    Args:
        masks: Label maps as read by :func:`read_label_map`, by their names.
    """
    return ValueError(f'no object is given in {", ".join(masks)}{void_hint(masks)}')


def void_hint(masks: Mapping[str, np.ndarray]) -> str:
    """What to do about masks of 0 and 255 that show no object; empty if there are none such. As
    :func:`nothing_given`."""
    for name, ids in masks.items():
        if (ids == VOID).any() and not np.isin(ids, (0, VOID), invert=True).any():
            return (
                f': {name} holds 255, which is void. If that is the object, use merge_objects=True (in tools: '
                "--merge-objects; of DAVISDataset: year='2016'): all that is not 0 is then one object"
            )
    return ''


def _shades(ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The values of a mask that are not 0, and those of them that are no areas: without a square of 2 x 2 pixels, or
    for the most part between a lower and a higher value."""
    counts = _histogram(ids)
    values = np.flatnonzero(counts[1:]) + 1
    if len(values) < 3:
        return values, values[:0]
    (low, high), (low_around, high_around) = (
        [change(ids, np.ones((side, side), np.uint8)) for change in (cv2.erode, cv2.dilate)] for side in (2, 3)
    )
    squares = _histogram(ids, low == high)
    between = _histogram(ids, (low_around < ids) & (ids < high_around))
    return values, values[(squares[values] == 0) | (2 * between[values] >= counts[values])]


def _histogram(ids: np.ndarray, where: np.ndarray | None = None) -> np.ndarray:
    mask = None if where is None else where.view(np.uint8)
    return cv2.calcHist([ids], [0], mask, [256], [0, 256]).ravel()  # (256, 1) before OpenCV 5, (256,) since


def write_label_map(path: str | Path, ids: np.ndarray) -> None:
    """Write a mask as a palette PNG with the colors of :func:`id_palette`, in one step; folders are made.

    Args:
        path: Ends in ``.png``.
        ids: Uint8 ``(H, W)``.
    """
    image = Image.fromarray(ids)
    image.putpalette(id_palette().tobytes())
    with atomic_write(path) as part:
        image.save(part, format='PNG')
