"""The bridge to mmtrack: in processes of their own, so that this one stays without mmtrack."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

pytest.importorskip('mmdet')
ROOT = Path(__file__).resolve().parents[2]


def run(*command, **environment) -> subprocess.CompletedProcess:
    environment = dict(os.environ, OMP_NUM_THREADS='1', PYTHONPATH=str(ROOT), **environment)
    return subprocess.run(
        [sys.executable, *map(str, command)], env=environment, capture_output=True, text=True, check=False, timeout=300
    )


@pytest.fixture(scope='module')
def found() -> dict:
    done = run(Path(__file__).with_name('mmtrack_steps.py'))
    assert done.returncode == 0, done.stderr[-3000:]
    line = next(line for line in done.stdout.splitlines() if line.startswith('FOUND '))
    warnings = (done.stdout + done.stderr).count('mmtrack runs through the bridge')
    return dict(json.loads(line.removeprefix('FOUND ')), warnings=warnings)


@pytest.mark.slow
def test_every_module_imports_and_nothing_else_changes(found):
    assert found['failed'] == {}
    assert found['unchanged'], 'versions of mmcv and mmdet and what mmdet.models.layers holds'
    assert not found['mmcls'], 'the alias is gone after the import'
    assert found['warnings'] == 1


@pytest.mark.parametrize('tracker', ['stark1', 'stark2', 'siamrpn', 'prdimp', 'dropmae', 'siammae'])
def test_trackers_do_a_training_step(found, tracker):
    loss, moved = found['losses'][tracker]
    assert np.isfinite(loss)
    assert loss > 0
    assert moved > 5, 'parameters have no gradient'


def test_can_be_turned_off():
    done = run(
        '-c', 'from mmvidmae.compat.mmtrack import enable; enable(); import mmtrack', MMVIDMAE_MMTRACK_BRIDGE='0'
    )
    assert 'AssertionError: MMCV==' in done.stderr


def test_a_compatible_mmtrack_is_left_alone(tmp_path):
    (tmp_path / 'mmtrack').mkdir()
    (tmp_path / 'mmtrack/__init__.py').write_text('')
    code = 'import sys; sys.path.insert(0, sys.argv[1])\nfrom mmvidmae.compat.mmtrack import enable\nenable()\n'
    done = run('-c', code + 'print([name for name in sys.modules if name.startswith("mmtrack")])', tmp_path)
    assert done.stdout.strip().splitlines()[-1] == "['mmtrack']", done.stderr[-2000:]
    assert 'runs through the bridge' not in done.stdout + done.stderr


def test_single_object_tracking_without_the_packages_of_others():
    code = """
import sys
class Hide:
    def find_spec(self, name, path=None, target=None):
        if name.split('.')[0] in ('trackeval', 'motmetrics', 'lap', 'seaborn', 'sklearn'):
            raise ModuleNotFoundError(f'No module named {name!r}', name=name)
import importlib.util
find = importlib.util.find_spec
hidden = ('trackeval', 'motmetrics', 'lap', 'seaborn', 'sklearn')
importlib.util.find_spec = lambda name, *a: None if name.split('.')[0] in hidden else find(name, *a)
sys.meta_path.insert(0, Hide())
from mmvidmae.compat.mmtrack import enable
enable()
import mmtrack.models, mmtrack.evaluation
assert not any(name in sys.modules for name in hidden)
try:
    mmtrack.models.trackers.byte_tracker.lap.lapjv(1)
except ImportError as error:
    print('REFUSED', error)
"""
    done = run('-c', code)
    assert done.returncode == 0, done.stderr[-3000:]
    assert 'REFUSED lap is not installed' in done.stdout


@pytest.mark.slow
def test_installed_for_all_programs(tmp_path):
    """`import mmtrack` in a program that knows nothing of us; then without it, and with our package gone."""
    site = f'import site, sys; site.addsitedir({str(tmp_path)!r})\n'
    code = (
        site + 'import mmtrack.apis, mmtrack\nprint(mmtrack.__version__, mmtrack.__spec__.name, mmtrack.apis.__name__)'
    )
    done = run('-m', 'mmvidmae.compat.mmtrack', 'install', tmp_path)
    assert done.returncode == 0, done.stderr
    assert run('-c', site + 'print(sum(name.startswith("mm") for name in sys.modules))').stdout == '0\n'
    done = run('-c', code)
    assert done.stdout.splitlines()[-1] == '1.0.0rc1 mmtrack mmtrack.apis', done.stderr[-2000:]
    assert (done.stdout + done.stderr).count('runs through the bridge') == 1
    assert 'AssertionError: MMCV==' in run('-c', code, MMVIDMAE_MMTRACK_BRIDGE='0').stderr
    hidden = code.replace('import mmtrack.apis', 'sys.modules["mmvidmae"] = None; import mmtrack.apis')
    assert 'AssertionError: MMCV==' in run('-c', hidden).stderr
    assert run('-m', 'mmvidmae.compat.mmtrack', 'uninstall', tmp_path).returncode == 0
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    'tool', [('-m', 'mmvidmae.compat.mmtrack', 'test'), (ROOT / 'tools/test.py',)], ids=['its own tool', 'our tool']
)
@pytest.mark.slow
def test_stark_tracks(tmp_path, tool):
    """mmtrack's shipped config, shrunk, on a sequence in LaSOT's layout."""
    folder = tmp_path / 'data/lasot/dog/dog-1'
    (folder / 'img').mkdir(parents=True)
    rng = np.random.default_rng(0)
    for index in range(1, 5):
        Image.fromarray(rng.integers(0, 255, (90, 120, 3), dtype=np.uint8)).save(folder / f'img/{index:08d}.jpg')
    (folder / 'groundtruth.txt').write_text('20,20,30,25\n' * 4)
    for name in ('full_occlusion.txt', 'out_of_view.txt'):
        (folder / name).write_text('0,0,0,0')
    (tmp_path / 'list.txt').write_text('header\ndog/dog-1/img,dog/dog-1/groundtruth.txt,1,4\n')
    (tmp_path / 'stark.py').write_text(f"""
_base_ = 'mmtrack::sot/stark/stark-st1_r50_8xb16-500e_got10k-lasot-trackingnet-coco_test-lasot.py'
model = dict(
    backbone=dict(depth=18, init_cfg=None),
    neck=dict(in_channels=[256], out_channels=32),
    head=dict(
        transformer=dict(
            encoder=dict(num_layers=1, transformerlayers=dict(
                attn_cfgs=[dict(type='MultiheadAttention', embed_dims=32, num_heads=4)],
                ffn_cfgs=dict(feedforward_channels=32, embed_dims=32))),
            decoder=dict(num_layers=1, transformerlayers=dict(
                attn_cfgs=dict(embed_dims=32, num_heads=4), ffn_cfgs=dict(feedforward_channels=32, embed_dims=32))),
        ),
        positional_encoding=dict(num_feats=16),
        bbox_head=dict(inplanes=32, channel=16),
    ),
)
test_dataloader = dict(
    num_workers=0, persistent_workers=False,
    dataset=dict(
        data_root='{tmp_path}/data/', ann_file='{tmp_path}/list.txt', data_prefix=dict(img_path='lasot')),
)
""")
    done = run(*tool, tmp_path / 'stark.py', '--work-dir', tmp_path / 'work')
    output = done.stdout + done.stderr
    assert done.returncode == 0, output[-3000:]
    assert 'sot/success' in output


@pytest.mark.parametrize('seed', range(3))
def test_precise_roi_pooling_on_a_cpu(seed):
    """Against means of many bilinear samples of each bin."""
    from mmvidmae.compat.mmtrack.prroi_pool import precise_roi_pool

    torch.manual_seed(seed)
    features = torch.randn(2, 3, 9, 11, dtype=torch.float64, requires_grad=True)
    rois = torch.tensor([[0, 8.0, 10, 60, 52], [1, -20, 5, 33, 90], [1, 30, 30, 30, 60]], dtype=torch.float64)
    pooled = precise_roi_pool(features, rois, (3, 2), 1 / 8)
    assert pooled.shape == (3, 3, 3, 2)
    padded = torch.nn.functional.pad(features.detach(), (20, 20, 20, 20))
    samples = 200
    for number, (image, *box) in enumerate(rois[:2].tolist()):
        x1, y1, x2, y2 = (side / 8 for side in box)
        y, x = (
            start + (end - start) * (torch.arange(bins * samples, dtype=torch.float64) + 0.5) / (bins * samples)
            for start, end, bins in ((y1, y2, 3), (x1, x2, 2))
        )
        grid = torch.stack(torch.meshgrid((y + 20) / 48 * 2 - 1, (x + 20) / 50 * 2 - 1, indexing='ij')[::-1], dim=-1)
        sampled = torch.nn.functional.grid_sample(padded[[int(image)]], grid[None], align_corners=True)[0]
        expected = sampled.unflatten(1, (3, samples)).unflatten(3, (2, samples)).mean((2, 4))
        torch.testing.assert_close(pooled[number], expected, atol=1e-4, rtol=0)
    assert (pooled[2] == 0).all(), 'no area'
    pooled.sum().backward()
    assert features.grad.isfinite().all()
