"""The text of a config is formatted once while it stays the same."""

import pytest
from mmengine.config import Config, config

import mmvidmae.registry  # noqa: F401 (applies the bridge)

pytestmark = pytest.mark.skipif(not hasattr(config, 'FormatCode'), reason="OneDL's fork of MMEngine")


def test_same_text_formatted_once(monkeypatch):
    formatted = []
    monkeypatch.setattr('yapf.yapflib.yapf_api.FormatTree', lambda *args, **options: formatted.append(1) or 'text')
    cfg = Config(dict(model=dict(type='Bridge', depth=2)))
    assert [cfg.pretty_text for _ in range(3)] == ['text'] * 3
    assert len(formatted) == 1


def test_changed_config_has_its_own_text():
    cfg = Config(dict(model=dict(type='Bridge', depth=4)))
    before = cfg.pretty_text
    cfg.model.depth = 12
    assert 'depth=4' in before
    assert cfg.pretty_text == before.replace('depth=4', 'depth=12')
