"""Pictures of every kind, by every path that reads them."""

import struct
from contextlib import suppress
from io import BytesIO

import cv2
import numpy as np
import pytest
from PIL import Image

from mmvidmae.datasets import FrameFolderReader, LoadVideoFrames, VideoReadError
from mmvidmae.utils.images import UnreadableImage, decode_image, image_size, rgb_of

SCENE = np.add.outer(2 * np.arange(48), 2 * np.arange(64))[..., None].repeat(3, 2).astype(np.uint8)
SCENE[..., 1] //= 2
SCENE[..., 2] = 255 - SCENE[..., 2]
GRAY = SCENE[..., 0]


def encode(image, form, **options) -> bytes:
    image = image if isinstance(image, Image.Image) else Image.fromarray(image)
    file = BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def turned(form: str, orientation: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encode(SCENE, form, exif=exif, **(dict(lossless=True) if form == 'WEBP' else {}))


def rgb(gray):
    return np.stack([gray] * 3, -1)


BLACK, PALETTE = np.zeros((48, 64, 3), np.uint8), Image.fromarray(GRAY // 8).convert('P')
PALETTE.putpalette([255 - i for i in range(256) for _ in range(3)])
ALPHA = np.dstack([SCENE, 255 - GRAY])
CMYK = Image.merge('CMYK', [*(Image.fromarray(255 - SCENE[..., i]) for i in range(3)), Image.new('L', (64, 48))])
KINDS = {
    'jpeg': ('jpg', encode(SCENE, 'JPEG', quality=98, subsampling=0), SCENE),
    'progressive': ('jpg', encode(SCENE, 'JPEG', quality=98, subsampling=0, progressive=True), SCENE),
    'png': ('png', encode(SCENE, 'PNG'), SCENE),
    'gray jpeg': ('jpg', encode(GRAY, 'JPEG', quality=98), rgb(GRAY)),
    'gray png': ('png', encode(GRAY, 'PNG'), rgb(GRAY)),
    '16-bit gray png': ('png', encode(GRAY.astype(np.uint16) * 257, 'PNG'), rgb(GRAY)),
    '16-bit gray tiff': ('tif', encode(GRAY.astype(np.uint16) * 257, 'TIFF'), rgb(GRAY)),
    '16-bit color': ('png', cv2.imencode('.png', SCENE[..., ::-1].astype(np.uint16) * 257)[1].tobytes(), SCENE),
    'alpha png': ('png', encode(ALPHA, 'PNG'), SCENE),
    'alpha webp': ('webp', encode(ALPHA, 'WEBP', lossless=True, exact=True), SCENE),
    'gray and alpha': ('png', encode(np.dstack([GRAY, GRAY]), 'PNG'), rgb(GRAY)),
    'palette': ('png', encode(PALETTE, 'PNG'), rgb(255 - GRAY // 8)),
    'one bit': ('png', encode(GRAY > 90, 'PNG'), rgb(np.where(GRAY > 90, 255, 0))),
    'one bit tiff': ('tif', encode(GRAY > 90, 'TIFF'), rgb(np.where(GRAY > 90, 255, 0))),
    'CMYK jpeg': ('jpg', encode(CMYK, 'JPEG', quality=98, subsampling=0), SCENE),
    'CMYK tiff': ('tif', encode(CMYK, 'TIFF'), SCENE),
    'lzw tiff': ('tif', encode(SCENE, 'TIFF', compression='tiff_lzw'), SCENE),
    'bmp': ('bmp', encode(SCENE, 'BMP'), SCENE),
    'animated webp': (
        'webp',
        encode(SCENE, 'WEBP', save_all=True, append_images=[Image.fromarray(BLACK)], lossless=True),
        SCENE,
    ),
    'animated png': ('png', encode(SCENE, 'PNG', save_all=True, append_images=[Image.fromarray(BLACK)]), SCENE),
    'animated gif': ('gif', encode(GRAY, 'GIF', save_all=True, append_images=[Image.fromarray(BLACK)]), rgb(GRAY)),
    'pages': ('tif', encode(SCENE, 'TIFF', save_all=True, append_images=[Image.fromarray(BLACK)]), SCENE),
    **{
        f'{form} turned {number}': (form.lower(), turned(form, number), upright)
        for form in ('PNG', 'TIFF', 'WEBP')
        for number, upright in (
            (3, SCENE[::-1, ::-1]),
            (6, np.rot90(SCENE, -1)),
            (8, np.rot90(SCENE)),
            (5, SCENE.swapaxes(0, 1)),
            (2, SCENE[:, ::-1]),
        )
    },
    'JPEG turned 6': ('jpg', turned('JPEG', 6), np.rot90(SCENE, -1)),
}


def cut(data: bytes) -> bytes:
    return data[: len(data) * 2 // 3]


def with_thumbnail() -> bytes:
    """A JPEG file that holds a whole one in its header, as cameras write them."""
    return encode(np.tile(SCENE, (4, 4, 1)), 'JPEG', exif=b'Exif\0\0' + encode(SCENE[:16, :16], 'JPEG'))


BAD = {
    'empty': b'',
    'text': b'this is no picture',
    'cut jpeg': cut(encode(SCENE, 'JPEG')),
    'cut progressive': cut(encode(SCENE, 'JPEG', progressive=True)),
    'cut jpeg with a thumbnail': cut(with_thumbnail()),
    'cut png': cut(encode(SCENE, 'PNG')),
    'cut webp': cut(encode(SCENE, 'WEBP')),
    'cut bmp': cut(encode(SCENE, 'BMP')),
    'cut tiff': cut(encode(SCENE, 'TIFF')),
    'header only': encode(SCENE, 'JPEG')[:200],
    'huge bmp': encode(SCENE, 'BMP')[:18] + struct.pack('<ii', 40000, 40000) + encode(SCENE, 'BMP')[26:],
    'large bmp': encode(SCENE, 'BMP')[:18] + struct.pack('<ii', 20000, 20000) + encode(SCENE, 'BMP')[26:],
    'float tiff': encode(GRAY.astype(np.float32), 'TIFF'),
    '32-bit tiff': encode(GRAY.astype(np.int32), 'TIFF'),
}


@pytest.mark.parametrize('kind', KINDS)
def test_every_path_gives_the_same_picture(kind, tmp_path):
    suffix, data, expected = KINDS[kind]
    path = tmp_path / f'0.{suffix}'
    path.write_bytes(data)
    image = decode_image(data)
    assert image.dtype == np.uint8
    assert image.shape == expected.shape
    lossy = 'jpeg' in kind.lower() or kind == 'progressive'
    assert np.abs(image.astype(int) - expected).max() <= (24 if lossy else 1)
    assert image_size(str(path))[0] == image.shape[1::-1]
    if suffix != 'gif':  # no suffix of frames
        reader = FrameFolderReader(str(tmp_path))
        assert np.array_equal(reader.get_batch([0])[0], image)
        assert np.array_equal(next(iter(reader)), image)
    height, width = image.shape[:2]
    loaded = LoadVideoFrames(size=(height, width))(dict(frame_paths=[str(path)]))
    assert np.array_equal(loaded['frames'][0].permute(1, 2, 0), image)
    with Image.open(path) as opened:
        if not lossy and 'CMYK' not in kind:
            assert np.array_equal(rgb_of(opened), image)


@pytest.mark.parametrize('kind', ['jpeg', 'progressive', 'png', 'gray jpeg'])
def test_ordinary_pictures_are_as_opencv_gives_them(kind):
    _, data, _ = KINDS[kind]
    expected = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
    assert np.array_equal(decode_image(data), expected)


@pytest.mark.parametrize('kind', BAD)
def test_what_cannot_be_read_is_an_unreadable_clip(kind, tmp_path):
    (tmp_path / '0.png').write_bytes(encode(SCENE, 'PNG'))
    (tmp_path / '1.png').write_bytes(BAD[kind])
    reader = FrameFolderReader(str(tmp_path))
    with pytest.raises(VideoReadError, match=r'1\.png is no ') as caught:
        reader.get_batch([0, 1])
    assert caught.value.path == str(tmp_path)
    with pytest.raises(VideoReadError, match=r'1\.png is no '):
        LoadVideoFrames(size=(48, 64))(dict(frame_paths=[str(tmp_path / f'{i}.png') for i in range(2)]))


def test_damaged_pictures_raise_nothing_else():
    rng = np.random.default_rng(0)
    whole = [data for _, data, _ in KINDS.values()]
    readable = 0
    for number in range(600):
        data = bytearray(whole[number % len(whole)])
        for place in rng.integers(0, min(len(data), 400 if number % 2 else len(data)), 4):
            data[place] = rng.integers(256)
        if number % 3 == 0:
            data = data[: rng.integers(len(data))]
        with suppress(UnreadableImage):
            readable += decode_image(bytes(data)).ndim == 3
    assert 0 < readable < 600
