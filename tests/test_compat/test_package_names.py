import pytest
from mmengine.config import Config
from mmengine.config.utils import MODULE2PACKAGE

from mmvidmae.compat.package_names import find_forks


def test_configs_of_a_toolbox_of_another_name_are_found(tmp_path, monkeypatch):
    """mmaction is ``mmaction2`` to MMEngine, and is installed here by no name."""
    monkeypatch.setitem(MODULE2PACKAGE, 'mmaction', 'mmaction2')
    names = dict(MODULE2PACKAGE)
    find_forks()
    assert names == MODULE2PACKAGE  # what is missing stays missing

    configs = tmp_path / 'mmaction/.mim/configs/_base_'
    configs.mkdir(parents=True)
    (configs / 'clips.py').write_text('frames = 8\n')
    (tmp_path / 'mmaction/.mim/model-index.yml').write_text('Import: []\n')
    (tmp_path / 'mmaction/__init__.py').touch()
    (tmp_path / 'config.py').write_text("_base_ = 'mmaction::_base_/clips.py'\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match='mmaction2 is not installed'):
        Config.fromfile(tmp_path / 'config.py')
    find_forks()
    assert Config.fromfile(tmp_path / 'config.py').frames == 8
