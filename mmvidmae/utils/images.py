"""The one way in which pictures are read: frames, label maps, sizes."""

from io import BytesIO

import cv2
import numpy as np
from PIL import Image, ImageOps

SIDEWAYS = (5, 6, 7, 8)
"""EXIF orientations that exchange height and width."""


class UnreadableImage(Exception):
    """A file that is no picture, is damaged or cut off, or holds what is no picture of 8 or 16 bits. Says why."""


def decode_image(data: bytes) -> np.ndarray:
    """Decode a picture as it is meant to be seen: upright (EXIF), in colors of 8 bits.

    Of 16 bits the upper 8 are taken, gray becomes RGB, palettes and CMYK become colors, alpha is left out, and of an
    animation or a file with pages the first is taken.

    Args:
        data: What the file holds.

    Returns:
        ``(H, W, 3)``, uint8 RGB.

    Raises:
        UnreadableImage: If it cannot be decoded, also for want of memory; if its header promises more pixels than
            Pillow's limit against decompression bombs (179 million); if its values are floating-point numbers or
            integers of 32 bits, whose range is not known.
    """
    _, mode = _header(BytesIO(data))
    _check_range(mode)
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    except (cv2.error, MemoryError) as error:
        raise UnreadableImage('no readable image') from error
    if image is None:
        raise UnreadableImage('no readable image')
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def rgb_of(image: Image.Image) -> np.ndarray:
    """What :func:`decode_image` gives, of a picture that is open in Pillow.

    Returns:
        ``(H, W, 3)``, uint8 RGB.

    Raises:
        UnreadableImage: If its values are floating-point numbers or integers of 32 bits.
    """
    _check_range(image.mode)
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith('I;16'):  # Pillow would cut off what is above 255
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    return np.array(image.convert('RGB'))


def decode_ids(path: str) -> tuple[np.ndarray, str]:
    """Decode an image whose pixels are numbers and not colors: palette indices or gray values, upright (EXIF).

    Args:
        path: The file.

    Returns:
        The array as Pillow gives it and Pillow's mode.

    Raises:
        OSError: If there is no such file, or it cannot be read.
        UnreadableImage: If it cannot be decoded or promises too many pixels, as in :func:`decode_image`; if it is a
            JPEG file, which does not keep numbers.
    """
    with open(path, 'rb') as file:
        data = BytesIO(file.read())
    _, mode = _header(data)
    try:
        with Image.open(data) as image:
            if image.format in ('JPEG', 'MPO'):
                raise UnreadableImage('JPEG changes the ids; save masks as PNG')
            return np.array(ImageOps.exif_transpose(image)), mode
    except UnreadableImage:
        raise
    except Exception as error:  # Pillow raises whatever a damaged file leads it to
        raise UnreadableImage(f'no readable image ({error})') from error


def image_size(path: str) -> tuple[tuple[int, int], str]:
    """Size ``(W, H)`` of the upright picture and Pillow's mode, by the header alone: about 0.1 ms.

    Raises:
        OSError: If there is no such file, or it cannot be read.
        UnreadableImage: If the header is not that of a picture, or promises too many pixels.
    """
    with open(path, 'rb') as file:
        return _header(file)


def _check_range(mode: str) -> None:
    if mode in ('I', 'F'):
        raise UnreadableImage(f'no picture of 8 or 16 bits, but of Pillow mode {mode}, whose range is not known')


def _header(file) -> tuple[tuple[int, int], str]:
    try:
        with Image.open(file) as image:
            width, height = image.size
            # Without the first condition a PNG file would be decoded in search of it; TIFF's size is upright already.
            has_exif = 'exif' in image.info and image.format != 'TIFF'
            sideways = has_exif and image.getexif().get(0x0112) in SIDEWAYS
            return ((height, width) if sideways else (width, height)), image.mode
    except Image.DecompressionBombError as error:
        raise UnreadableImage(f'no readable image (its header promises too many pixels: {error})') from error
    except Exception as error:  # Pillow raises whatever a damaged file leads it to
        raise UnreadableImage('no readable image') from error
