import cv2
import numpy as np
import pytest
from PIL import Image

from mmvidmae.structures.label_maps import (
    VOID,
    id_palette,
    nothing_given,
    read_label_map,
    read_objects,
    to_objects,
    write_label_map,
)


def test_colors_of_pascal_and_davis():
    palette = id_palette()
    assert palette.shape == (256, 3)
    known = {0: (0, 0, 0), 1: (128, 0, 0), 2: (0, 128, 0), 3: (128, 128, 0), 4: (0, 0, 128), 7: (128, 128, 128)}
    known |= {8: (64, 0, 0), 20: (0, 64, 128), 22: (0, 192, 128), 255: (224, 224, 192)}
    for index, color in known.items():
        assert tuple(palette[index]) == color
    assert len(np.unique(palette, axis=0)) == 256


def test_written_ids_come_back_and_show_their_colors(tmp_path):
    ids = np.arange(256, dtype=np.uint8).reshape(8, 32)
    path = tmp_path / 'not' / 'yet' / '00000.png'
    write_label_map(path, ids)
    with Image.open(path) as image:
        assert (image.format, image.mode, image.size) == ('PNG', 'P', (32, 8))
        assert np.array_equal(np.array(image.convert('RGB')), id_palette()[ids])
    assert np.array_equal(read_label_map(path), ids)
    assert [file.name for file in path.parent.iterdir()] == ['00000.png']


@pytest.mark.parametrize('mode', ['L', '1', 'P'])
def test_grey_black_and_white_and_small_palettes_are_read_as_ids(tmp_path, mode):
    ids = np.eye(5, dtype=np.uint8)
    image = Image.fromarray(ids.astype(bool) if mode == '1' else ids)
    if mode == 'P':
        image.putpalette([0, 0, 0, 200, 0, 0])  # two colors: Pillow writes one bit a pixel
    image.save(tmp_path / 'mask.png')
    read = read_label_map(tmp_path / 'mask.png')
    assert read.dtype == np.uint8
    assert np.array_equal(read, ids)


def test_color_images_and_broken_files_are_named(tmp_path):
    Image.new('RGB', (4, 4)).save(tmp_path / 'color.png')
    with pytest.raises(ValueError, match=r'color\.png is no label map: it is an image of mode RGB'):
        read_label_map(tmp_path / 'color.png')
    write_label_map(tmp_path / 'cut.png', np.random.default_rng(0).integers(0, 9, (99, 99), dtype=np.uint8))
    (tmp_path / 'cut.png').write_bytes((tmp_path / 'cut.png').read_bytes()[:1500])
    with pytest.raises(OSError, match=r'cut\.png cannot be read as a mask'):
        read_label_map(tmp_path / 'cut.png')


def objects(num: int, seed: int = 0, size: tuple[int, int] = (120, 160)) -> np.ndarray:
    """A mask of ellipses and thin lines with ids of their own."""
    rng = np.random.default_rng(seed)
    mask = np.zeros(size, np.uint8)
    for number in rng.permutation(np.arange(1, 255))[:num].tolist():
        center, axes = rng.integers(15, 105, 2).tolist(), rng.integers(4, 25, 2).tolist()
        cv2.ellipse(mask, center, axes, float(rng.integers(180)), 0, 360, number, -1)
    for _ in range(min(num, 3)):
        cv2.line(mask, rng.integers(0, 120, 2).tolist(), rng.integers(0, 120, 2).tolist(), int(rng.integers(1, 255)), 1)
    return mask


@pytest.mark.parametrize('num', [1, 2, 3, 8, 40, 120])
def test_any_number_of_objects_is_one(num):
    for seed in range(10):
        mask = objects(num, seed)
        assert np.array_equal(to_objects(mask, 'mask'), mask)
        mask[:2] = VOID
        assert np.array_equal(to_objects(mask, 'mask'), np.where(mask == VOID, 0, mask))
        assert np.array_equal(to_objects(mask, 'mask', merge_objects=True), mask > 0)


def as_jpeg(mask: np.ndarray, quality: int) -> np.ndarray:
    return cv2.imdecode(cv2.imencode('.jpg', mask, [cv2.IMWRITE_JPEG_QUALITY, quality])[1], cv2.IMREAD_GRAYSCALE)


@pytest.mark.parametrize('merge_objects', [False, True])
@pytest.mark.parametrize(
    'soften',
    [
        lambda mask: cv2.GaussianBlur(mask, (0, 0), 1),
        lambda mask: cv2.GaussianBlur(mask, (0, 0), 8),
        lambda mask: cv2.resize(mask, None, fx=2, fy=2, interpolation=cv2.INTER_LINEAR),
        lambda mask: cv2.resize(mask, None, fx=0.6, fy=0.6, interpolation=cv2.INTER_AREA),
        lambda mask: as_jpeg(mask, 75),
        lambda mask: as_jpeg(mask, 95),
        lambda mask: as_jpeg(mask, 98),
    ],
    ids=['blur', 'strong blur', 'enlarged', 'reduced', 'JPEG 75', 'JPEG 95', 'JPEG 98'],
)
def test_shades_are_no_ids(soften, merge_objects):
    for seed, values in enumerate(((255,), (80, 160, 240))):
        mask = np.zeros((120, 160), np.uint8)
        for index, value in enumerate(values):
            cv2.ellipse(mask, (30 + 45 * index, 57), (19, 31 + seed), 20, 0, 360, value, -1)
        with pytest.raises(ValueError, match=r'first\.png holds shades and not ids: .* save it as PNG'):
            to_objects(soften(mask), 'first.png', merge_objects)


def test_masks_of_0_and_255_get_a_hint(tmp_path):
    mask = 255 * np.eye(5, dtype=np.uint8)
    Image.fromarray(mask).save(tmp_path / 'mask.png')
    assert not read_objects(tmp_path / 'mask.png').any()
    assert np.array_equal(read_objects(tmp_path / 'mask.png', merge_objects=True), np.eye(5))
    assert 'a.png: a.png holds 255, which is void. If that is the object, use merge_objects=True' in str(
        nothing_given({'a.png': mask})
    )
    assert str(nothing_given({'a.png': 0 * mask, 'b.png': 0 * mask})) == 'no object is given in a.png, b.png'


def test_jpeg_files_hold_no_ids(tmp_path):
    Image.fromarray(objects(3)).save(tmp_path / 'mask.jpg')
    with pytest.raises(OSError, match=r'mask\.jpg cannot be read as a mask: JPEG changes the ids; save masks as PNG'):
        read_label_map(tmp_path / 'mask.jpg')


@pytest.mark.parametrize('form', ['PNG', 'WEBP', 'TIFF'])
def test_masks_are_upright(tmp_path, form):
    exif = Image.Exif()
    exif[0x0112] = 6
    ids = np.arange(12, dtype=np.uint8).reshape(3, 4) * 20
    path = tmp_path / f'mask.{form.lower()}'
    Image.fromarray(ids).save(path, form, exif=exif, **(dict(lossless=True) if form == 'WEBP' else {}))
    if form == 'WEBP':  # has no gray pictures
        with pytest.raises(ValueError, match='mode RGB'):
            read_label_map(path)
    else:
        assert np.array_equal(read_label_map(path), np.rot90(ids, -1))
