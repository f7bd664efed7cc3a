from pathlib import Path

import pytest
from PIL import Image

processing_utils = pytest.importorskip('gradio.processing_utils')


def test_a_picture_that_is_served_is_not_written_again(tmp_path, monkeypatch):
    from mmvidmae.compat.gradio_pictures import write_pictures_once

    monkeypatch.setattr(processing_utils, 'save_pil_to_cache', processing_utils.save_pil_to_cache)
    red = Image.new('RGB', (8, 8), 'red')
    theirs = Path(processing_utils.save_pil_to_cache(red, str(tmp_path / 'theirs')))
    write_pictures_once()
    ours = Path(processing_utils.save_pil_to_cache(red, str(tmp_path / 'ours')))
    assert ours.relative_to(tmp_path / 'ours') == theirs.relative_to(tmp_path / 'theirs')
    assert ours.read_bytes() == theirs.read_bytes()
    inode = ours.stat().st_ino, ours.stat().st_mtime_ns
    assert processing_utils.save_pil_to_cache(red, str(tmp_path / 'ours')) == str(ours)
    assert (ours.stat().st_ino, ours.stat().st_mtime_ns) == inode
    other = Path(processing_utils.save_pil_to_cache(Image.new('RGB', (8, 8), 'blue'), str(tmp_path / 'ours')))
    assert other != ours
    assert [path.name for path in ours.parent.iterdir()] == [ours.name]
