"""Trainings started from DINOv2, by a tiny encoder of the same code."""

import json
import sys
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from tiny_runs import shrink_loaders

from mmvidmae.converters import read_state_dict
from mmvidmae.registry import MODELS

ROOT = Path(__file__).resolve().parents[2]
TINY = dict(embed_dims=24, num_layers=1, num_heads=2, feedforward_channels=48)


@pytest.fixture
def tool(monkeypatch, tmp_path):
    """The tool, with a tiny encoder and two clips a step."""
    monkeypatch.syspath_prepend(ROOT / 'tools/experiments')
    import dinov2_starts

    configure = dinov2_starts.configure

    def smaller(*args, **options) -> Config:
        config = configure(*args, **options)
        config.model.backbone.arch = TINY
        config.model.neck.update(decoder_dims=24, depth=1, num_heads=2)
        shrink_loaders(config)
        return config

    frozen = Config.fromfile(ROOT / dinov2_starts.FROZEN)
    frozen.model.backbone.update(arch=TINY, img_size=168)
    frozen.dump(str(tmp_path / 'frozen.py'))
    monkeypatch.setattr(dinov2_starts, 'configure', smaller)
    monkeypatch.setattr(dinov2_starts, 'FROZEN', str(tmp_path / 'frozen.py'))
    return dinov2_starts


@pytest.fixture
def start(tool) -> Path:
    """Weights to start from, with 12 x 12 positions."""
    init_default_scope('mmpretrain')
    torch.manual_seed(1)
    frozen = MODELS.build(Config.fromfile(tool.FROZEN).model)
    frozen.backbone.pos_embed.data.normal_()
    path = Path(tool.FROZEN).with_name('start.pth')
    torch.save(dict(state_dict={f'backbone.{k}': v for k, v in frozen.backbone.state_dict().items()}), path)
    return path


def test_trains_scores_and_goes_on(tool, start, video_dir, davis, tmp_path, monkeypatch, capsys):
    (tmp_path / 'clips').symlink_to(video_dir)
    (tmp_path / 'clips.txt').write_text('a.mp4\nb.mp4\n')
    command = ['dinov2_starts.py', 'siammae', start, tmp_path, tmp_path / 'out', '--seconds', '0.2', '--saves', '2']
    command += ['--davis', davis, '--frames', '3', '--pairs', '2', '--lr', '1e-3']
    monkeypatch.setattr(sys, 'argv', [str(part) for part in command])
    monkeypatch.setattr(tool, 'PROTOCOLS', 'dino')
    tool.main()
    run = tmp_path / 'out/siammae-0.001-0'
    first = {path: path.read_bytes() for path in [*run.glob('*.json'), *(tmp_path / 'out/board').glob('*.json')]}
    assert {path.name for path in first if path.parent == run} == {f'early_{part}.json' for part in range(3)}
    assert len(first) == 3 + 3
    begin, end = (json.loads((run / f'early_{part}.json').read_text()) for part in (0, 2))
    assert begin['weights']['checkpoint'] == str(start)
    assert end['cpu_seconds'] >= 0.2
    assert end['loss']['true'] != begin['loss']['true']
    own, trained = read_state_dict(start), read_state_dict(run / 'encoder_2.safetensors')
    assert trained.keys() == own.keys()
    assert torch.equal(trained['backbone.pos_embed'], own['backbone.pos_embed'])
    weight = 'backbone.layers.0.attn.qkv.weight'
    assert not torch.equal(trained[weight], own[weight])
    assert '| DINOv2 ViT-S/14 | 280 x 504 |' in capsys.readouterr().out

    monkeypatch.setattr(Runner, 'train', None)  # nothing to train
    (run / 'early_2.json').unlink()
    tool.main()
    assert '0 to do' in capsys.readouterr().out
    del first[run / 'early_2.json']
    assert all(path.read_bytes() == content for path, content in first.items())
    again = json.loads((run / 'early_2.json').read_text())
    assert again['loss'] == end['loss']
