"""tools/dataset_converters/video_statistics.py on clips with known motion and scenes."""

import importlib
import json
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmpretrain.registry import MODELS

from mmvidmae.datasets.sources import read_list

TINY = dict(arch=dict(embed_dims=24, num_layers=1, num_heads=2, feedforward_channels=48), img_size=32, patch_size=8)
TOOLS = Path(__file__).parents[2] / 'tools/dataset_converters'


@pytest.fixture
def tool(monkeypatch):
    monkeypatch.syspath_prepend(TOOLS)
    return importlib.import_module('video_statistics')


def texture(seed, height=200, width=260):
    noise = np.random.default_rng(seed).uniform(0, 255, (height, width, 3)).astype(np.float32)
    blurred = cv2.GaussianBlur(noise, (0, 0), 3)
    return cv2.normalize(blurred, None, 0, 255, cv2.NORM_MINMAX).astype(np.uint8)


def write_clip(path, pan=0, step=0, seed=0, frames=12, cut=None):
    """A view of a texture that pans by ``pan`` pixels a frame, with a square that moves by ``step`` besides. From frame
    ``cut`` on it is another one."""
    background, square = texture(seed), texture(99)[:48, :48]
    with av.open(str(path), 'w') as file:
        stream = file.add_stream('libx264', rate=10, options={'crf': '10'})
        stream.height, stream.width, stream.pix_fmt = 128, 160, 'yuv420p'
        for number in range(frames):
            if number == cut:
                background = 255 - texture(seed + 1) // 3
            x = 40 + pan * number
            frame = np.ascontiguousarray(background[20:148, x : x + 160])
            if step:
                frame[40:88, 20 + step * number : 68 + step * number] = square
            file.mux(stream.encode(av.VideoFrame.from_ndarray(frame, 'rgb24')))
        file.mux(stream.encode(None))


def test_motion_is_what_the_camera_does_not_explain(tool, tmp_path):
    kinds = dict(still={}, square=dict(step=3), pan=dict(pan=2), both=dict(pan=2, step=3))
    measured = {}
    for name, motion in kinds.items():
        write_clip(tmp_path / f'{name}.mp4', **motion)
        measured[name] = tool.measure(str(tmp_path / f'{name}.mp4'), pairs=3, gap=2, threshold=0.5)[0]
    diagonal = np.hypot(128, 160)
    for name in ('still', 'pan'):
        assert measured[name]['moving'] < 0.05
    for name in ('square', 'both'):  # the square has 11% of the pixels
        assert 0.06 < measured[name]['moving'] < 0.25
        assert measured[name]['motion'] > 5 * max(measured['still']['motion'], measured['pan']['motion'])
    for name, pixels in dict(still=0, square=0, pan=4, both=4).items():
        assert measured[name]['camera'] == pytest.approx(100 * pixels / diagonal, abs=0.3)


@pytest.mark.parametrize('searched', [3000, 10], ids=['all frames', 'pairs'])
def test_pairs_across_a_cut_are_left_out(tool, tmp_path, monkeypatch, searched):
    """Motion is that of the clip without the cut, also in a clip that is too long to search."""
    monkeypatch.setattr(tool, 'SEARCHED', searched)
    measured = {}
    for cut in (None, 20, 3, 25):
        write_clip(tmp_path / 'clip.mp4', step=1, frames=41, cut=cut)
        measured[cut], frames = tool.measure(str(tmp_path / 'clip.mp4'), pairs=3, gap=4, threshold=0.5)
        assert len(frames) == 3
    assert {cut: (values['cuts'], values['pairs']) for cut, values in measured.items()} == {
        None: (0, 3),
        20: (1, 2),  # the pairs begin at 0, 18 and 36
        3: (1, 2),
        25: (1 if searched == 3000 else 0, 3),
    }
    assert measured[20]['motion'] == pytest.approx(measured[None]['motion'], rel=0.5)
    write_clip(tmp_path / 'clip.mp4', frames=5, cut=2)
    values, _ = tool.measure(str(tmp_path / 'clip.mp4'), pairs=3, gap=4, threshold=0.5)
    assert (values['pairs'], values['motion'], values['moving']) == (0, 0, 0)


def test_features_of_an_encoder(tool, tmp_path):
    """Two clips of one scene are near, another scene is far. A config without an encoder to use is refused."""
    config = Config(
        dict(model=dict(type='mmvidmae.LabelPropagator', backbone=dict(type='mmvidmae.PairMAEViT', **TINY)))
    )
    config.dump(str(tmp_path / 'tiny.py'))
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        backbone = MODELS.build(config.model).backbone
    state = {f'backbone.{name}': value for name, value in backbone.state_dict().items()}
    torch.save(dict(state_dict=state), tmp_path / 'tiny.pth')
    (tmp_path / 'videos').mkdir()
    for name, seed in dict(a=0, b=0, c=7).items():
        write_clip(tmp_path / f'videos/{name}.mp4', step=1 + (name == 'b'), seed=seed)
    command = [str(tmp_path / 'videos'), str(tmp_path / 'out'), '--pairs', '2', '--workers', '1', '--encoder']
    assert tool.main([*command, str(tmp_path / 'tiny.py'), str(tmp_path / 'tiny.pth')]) == 0
    lines = map(json.loads, (tmp_path / 'out/clips.jsonl').read_text().splitlines())
    features = {Path(line['path']).stem: np.array(line['feature']) for line in lines}
    unit = tool.normalize(np.stack([features[name] for name in 'abc']))
    assert unit.shape == (3, TINY['arch']['embed_dims'])
    assert unit[0] @ unit[1] > unit[0] @ unit[2]
    with pytest.raises(SystemExit):
        tool.main([*command, str(tmp_path / 'tiny.py'), str(tmp_path / 'gone.pth')])


def test_spread_and_choice_of_clusters(tool):
    rng = np.random.default_rng(0)
    same = np.tile(rng.normal(size=8), (5, 1))
    to_mean, pairwise = tool.spread(same)
    assert to_mean == pytest.approx(np.zeros(5), abs=1e-9)
    assert pairwise == pytest.approx(0, abs=1e-9)
    clusters = np.repeat(np.eye(4), (20, 3, 1, 6), axis=0) + rng.normal(0, 0.01, (30, 4))
    chosen = tool.farthest(clusters, 4)
    assert sorted(clusters[chosen].argmax(1)) == [0, 1, 2, 3]
    assert len(set(tool.farthest(clusters, 30))) == 30


def test_lists_broken_clips_and_a_second_run(tool, tmp_path, capsys):
    videos, out = tmp_path / 'videos', tmp_path / 'out'
    videos.mkdir()
    write_clip(videos / 'still.mp4')
    write_clip(videos / 'square.mp4', step=3)
    (videos / 'broken.mp4').write_bytes(b'no video')
    arguments = [str(videos), str(out), '--most', '1', '--pairs', '2', '--workers', '1']
    assert tool.main(arguments) == 1
    assert 'broken.mp4' in capsys.readouterr().out
    assert read_list(str(out / 'motion.txt'), 'video') == [str(videos / 'square.mp4')]
    assert json.loads((out / 'summary.json').read_text())['clips'] == 2
    assert (out / 'statistics.png').stat().st_size > 0

    lines = out / 'clips.jsonl'
    entries = [json.loads(line) for line in lines.read_text().splitlines()]
    good = next(entry for entry in entries if not entry['error'])
    lines.write_text(json.dumps(good) + '\n{"path": "cut o')  # as after a kill
    (videos / 'broken.mp4').unlink()
    assert tool.main(arguments) == 0
    paths = [json.loads(line)['path'] for line in lines.read_text().splitlines() if line.endswith('}')]
    assert sorted(paths) == [str(videos / 'square.mp4'), str(videos / 'still.mp4')]
