"""tools/dataset_converters/video_statistics.py on clips with known motion and scenes."""

import importlib
import json
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from mmvidmae.datasets.sources import read_list

TOOLS = Path(__file__).parents[2] / 'tools/dataset_converters'


@pytest.fixture
def tool(monkeypatch):
    monkeypatch.syspath_prepend(TOOLS)
    return importlib.import_module('video_statistics')


def texture(seed, height=200, width=260):
    noise = np.random.default_rng(seed).uniform(0, 255, (height, width, 3)).astype(np.float32)
    blurred = cv2.GaussianBlur(noise, (0, 0), 3)
    return cv2.normalize(blurred, None, 0, 255, cv2.NORM_MINMAX).astype(np.uint8)


def write_clip(path, pan=0, step=0, seed=0, frames=12):
    """A view of a texture that pans by ``pan`` pixels a frame, with a square that moves by ``step`` besides."""
    background, square = texture(seed), texture(99)[:48, :48]
    with av.open(str(path), 'w') as file:
        stream = file.add_stream('libx264', rate=10, options={'crf': '10'})
        stream.height, stream.width, stream.pix_fmt = 128, 160, 'yuv420p'
        for number in range(frames):
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
