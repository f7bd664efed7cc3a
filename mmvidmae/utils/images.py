"""Reading of all pictures: frames, label maps, sizes."""

from io import BytesIO
from typing import IO

import cv2
import numpy as np
from PIL import Image, ImageOps

SIDEWAYS = (5, 6, 7, 8)
"""EXIF orientations that exchange height and width."""
JPEG_FORMATS = ('JPEG', 'MPO')
"""Formats that OpenCV decodes, at twice the speed of Pillow. Its other decoders differ between its versions."""
PILLOW_FORMATS = ('AVIF', 'BMP', 'GIF', 'JPEG2000', 'PNG', 'PPM', 'TIFF', 'WEBP')
"""Other formats of images. Pillow knows more, but some run other programs (EPS)."""


class UnreadableImage(Exception):
    """A file that is not a picture of 8 or 16 bits, or is damaged or truncated. The message tells why."""


def decode_image(data: bytes) -> np.ndarray:
    """Decode a picture, upright (EXIF) and in 8-bit RGB.

    16-bit values are reduced to their upper 8 bits. Gray, palette and CMYK pictures become RGB. Alpha is dropped. The
    first picture of an animation or a file with pages is used.

    Args:
        data: Content of the file.

    Returns:
        ``(H, W, 3)``, uint8 RGB.

    Raises:
        UnreadableImage: If it cannot be decoded or memory is short; if its header states more pixels than Pillow's
            limit against decompression bombs (179 million); if its values are floating-point numbers or 32-bit
            integers, whose range is unknown.
    """
    with _open(BytesIO(data)) as image:
        _check_range(image.mode)
        if image.format in JPEG_FORMATS:
            return _decode_with_opencv(data)
        try:
            return rgb_of(image)
        except Exception as error:  # a damaged file can make Pillow raise anything
            raise UnreadableImage(f'no readable image ({error})') from error


def rgb_of(image: Image.Image) -> np.ndarray:
    """Convert a picture that is open in Pillow, with the result of :func:`decode_image`.

    Returns:
        ``(H, W, 3)``, uint8 RGB.

    Raises:
        UnreadableImage: If its values are floating-point numbers or 32-bit integers.
    """
    _check_range(image.mode)
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith('I;16'):  # Pillow would clip values above 255
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    return np.array(image.convert('RGB'))


def decode_ids(path: str) -> tuple[np.ndarray, str]:
    """Decode an image whose pixels are ids (palette indices or gray values), upright (EXIF).

    Args:
        path: Path of the file.

    Returns:
        The array as read by Pillow, and Pillow's mode.

    Raises:
        OSError: If there is no such file, or it cannot be read.
        UnreadableImage: If it cannot be decoded or has too many pixels, as in :func:`decode_image`; if it is a JPEG
            file, which does not preserve ids.
    """
    with open(path, 'rb') as file:
        data = BytesIO(file.read())
    with _open(data) as image:
        if image.format in JPEG_FORMATS:
            raise UnreadableImage('JPEG changes the ids; save masks as PNG')
        mode = image.mode
        try:
            return np.array(ImageOps.exif_transpose(image)), mode
        except Exception as error:  # a damaged file can make Pillow raise anything
            raise UnreadableImage(f'no readable image ({error})') from error


def image_size(path: str) -> tuple[tuple[int, int], str]:
    """Read the size ``(W, H)`` of the upright picture and Pillow's mode from the header, in about 0.1 ms.

    Raises:
        OSError: If there is no such file, or it cannot be read.
        UnreadableImage: If the header is not that of a picture or states too many pixels.
    """
    with open(path, 'rb') as file, _open(file) as image:
        try:
            # Without the first condition a PNG file would be decoded in search of it; TIFF's size is upright already.
            has_exif = 'exif' in image.info and image.format != 'TIFF'
            sideways = has_exif and image.getexif().get(0x0112) in SIDEWAYS
        except Exception as error:  # a damaged file can make Pillow raise anything
            raise UnreadableImage('no readable image') from error
        return (image.size[::-1] if sideways else image.size), image.mode


def _decode_with_opencv(data: bytes) -> np.ndarray:
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    except (cv2.error, MemoryError) as error:
        raise UnreadableImage('no readable image') from error
    if image is None:
        raise UnreadableImage('no readable image')
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def _check_range(mode: str) -> None:
    if mode in ('I', 'F'):
        raise UnreadableImage(f'no picture of 8 or 16 bits, but of Pillow mode {mode}, whose range is unknown')


def _open(file: IO[bytes]) -> Image.Image:
    """Open an image and read its header."""
    try:
        image = Image.open(file)
    except Image.DecompressionBombError as error:
        raise UnreadableImage(f'no readable image (its header promises too many pixels: {error})') from error
    except Exception as error:  # a damaged file can make Pillow raise anything
        raise UnreadableImage('no readable image') from error
    if image.format not in JPEG_FORMATS + PILLOW_FORMATS:
        raise UnreadableImage(f'{image.format} is no format of frames')
    return image
