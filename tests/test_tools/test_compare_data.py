"""The comparison of data on made-up clips, with a tiny model."""

import json
import sys
from pathlib import Path

import pytest
from mmengine.config import Config
from tiny_runs import shrink_loaders

ROOT = Path(__file__).resolve().parents[2]
TINY = dict(embed_dims=24, num_layers=1, num_heads=2, feedforward_channels=48)


@pytest.fixture
def tool(monkeypatch):
    """The tool, with a tiny DropMAE and two clips a step."""
    monkeypatch.syspath_prepend(ROOT / 'tools/experiments')
    import compare_data
    import measures

    configure = measures.configure

    def smaller(*args, **options) -> Config:
        config = configure(*args, **options)
        config.model.backbone.update(arch=TINY, img_size=32, patch_size=4)
        config.model.neck.update(decoder_dims=24, depth=1, num_heads=2)
        shrink_loaders(config)
        return config

    monkeypatch.setattr(measures, 'configure', smaller)
    return compare_data


@pytest.mark.slow
def test_equal_numbers_of_clips_are_compared(tool, write_video, davis, tmp_path, monkeypatch, capfd):
    videos, out = tmp_path / 'videos', tmp_path / 'out'
    videos.mkdir()
    for number in range(9):
        write_video(videos / f'{number}.mp4', 12 + number, seed=number)
    command = [
        'compare_data.py',
        videos,
        out,
        '--clips',
        '2',
        '--seconds',
        '0.3',
        '--davis',
        davis,
        '--short-side',
        '64',
    ]
    monkeypatch.setattr(
        sys, 'argv', [str(part) for part in [*command, '--short-side', '64', '--frames', '3', '--pairs', '2']]
    )
    tool.main()
    lists = {name: (out / f'{name}/clips.txt').read_text().splitlines() for name in (*tool.CHOICES, 'test')}
    assert {len({*lines}) for lines in lists.values()} == {2}
    assert not {*lists['test']} & {name for choice in tool.CHOICES for name in lists[choice]}
    results = {path.stem: json.loads(path.read_text()) for path in (out / 'results').iterdir()}
    assert len(results) == 3 + 4 + 4
    assert {results[f'early-{name}-0']['result']['pairs'] for name in (*tool.CHOICES, 'untrained')} == {2}
    losses = {name: results[f'early-{name}-0']['result']['loss']['true'] for name in (*tool.CHOICES, 'untrained')}
    assert len({*losses.values()}) == 4
    table = (out / 'data.md').read_text()
    for name, loss in losses.items():
        assert f'| {name} |' in table
        assert f'| {loss:.3f} |' in table

    times = {path: path.stat().st_mtime_ns for path in (out / 'results').iterdir()}
    tool.main()
    assert times == {path: path.stat().st_mtime_ns for path in (out / 'results').iterdir()}
    monkeypatch.setattr(sys, 'argv', [*sys.argv, '--pairs', '1'])
    with pytest.raises(SystemExit, match='has other pairs'):
        tool.main()


def test_too_few_clips(tool, video_dir, tmp_path, monkeypatch):
    command = ['compare_data.py', video_dir, tmp_path, '--clips', '5', '--seconds', '1']
    monkeypatch.setattr(sys, 'argv', [str(part) for part in command])
    with pytest.raises(SystemExit, match='too few clips for --clips 5'):
        tool.main()
