import numpy as np
import pytest
from PIL import Image

from mmvidmae.evaluation.id_maps import id_palette, read_id_map, write_id_map
from mmvidmae.utils.files import whole_file


def test_colours_of_pascal_and_davis():
    palette = id_palette()
    assert palette.shape == (256, 3)
    known = {0: (0, 0, 0), 1: (128, 0, 0), 2: (0, 128, 0), 3: (128, 128, 0), 4: (0, 0, 128), 7: (128, 128, 128)}
    known |= {8: (64, 0, 0), 20: (0, 64, 128), 22: (0, 192, 128), 255: (224, 224, 192)}
    for index, colour in known.items():
        assert tuple(palette[index]) == colour
    assert len(np.unique(palette, axis=0)) == 256


def test_written_ids_come_back_and_show_their_colours(tmp_path):
    ids = np.arange(256, dtype=np.uint8).reshape(8, 32)
    path = tmp_path / 'not' / 'yet' / '00000.png'
    write_id_map(path, ids)
    with Image.open(path) as image:
        assert (image.format, image.mode, image.size) == ('PNG', 'P', (32, 8))
        assert np.array_equal(np.array(image.convert('RGB')), id_palette()[ids])
    assert np.array_equal(read_id_map(path), ids)
    assert [file.name for file in path.parent.iterdir()] == ['00000.png']


@pytest.mark.parametrize('mode', ['L', '1', 'P'])
def test_grey_black_and_white_and_small_palettes_are_read_as_ids(tmp_path, mode):
    ids = np.eye(5, dtype=np.uint8)
    image = Image.fromarray(ids.astype(bool) if mode == '1' else ids)
    if mode == 'P':
        image.putpalette([0, 0, 0, 200, 0, 0])  # two colours: Pillow writes one bit a pixel
    image.save(tmp_path / 'mask.png')
    read = read_id_map(tmp_path / 'mask.png')
    assert read.dtype == np.uint8
    assert np.array_equal(read, ids)


def test_colour_images_and_broken_files_are_named(tmp_path):
    Image.new('RGB', (4, 4)).save(tmp_path / 'colour.png')
    with pytest.raises(ValueError, match=r'colour\.png is no id map: it is an image of mode RGB'):
        read_id_map(tmp_path / 'colour.png')
    write_id_map(tmp_path / 'cut.png', np.random.default_rng(0).integers(0, 9, (99, 99), dtype=np.uint8))
    (tmp_path / 'cut.png').write_bytes((tmp_path / 'cut.png').read_bytes()[:1500])
    with pytest.raises(OSError, match=r'cut\.png cannot be read as a mask'):
        read_id_map(tmp_path / 'cut.png')


def test_a_failed_write_leaves_the_file_that_was_there(tmp_path):
    path = tmp_path / 'scores.json'
    path.write_text('old')

    def fail() -> None:
        with whole_file(path) as part:
            part.write_text('half')
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert path.read_text() == 'old'
    with whole_file(path) as part:
        part.write_text('new')
        assert path.read_text() == 'old'
    assert path.read_text() == 'new'
    assert list(tmp_path.iterdir()) == [path]
