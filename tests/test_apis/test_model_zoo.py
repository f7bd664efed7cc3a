import hashlib
import importlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import mmpretrain
import pytest
import torch
import torch.nn.functional as F
from mmengine.config import Config
from safetensors.torch import save_file

from mmvidmae.apis import get_model, list_models, model_zoo
from mmvidmae.converters import read_state_dict
from mmvidmae.models import DropMAE, SiamMAE

ROOT = Path(__file__).resolve().parents[2]
NAME = 'siammae_vit-small-p16_16xb64-amp-coslr-400e_k400'


def test_list_models():
    listed = list_models()
    assert listed == sorted(listed)
    assert {NAME, 'vit-small-p16_cropmae_davis2017', 'siammae_vit-tiny6-p8_1xb8-coslr-20e_clips'} <= set(listed)
    assert list_models('dropmae*800e') == [
        'dropmae_vit-base-p16_64xb64-amp-coslr-800e_k400',
        'dropmae_vit-base-p16_64xb64-amp-coslr-800e_k700',
    ]
    assert list_models('resnet18') == []


def test_mmpretrain_knows_our_models_by_name(tmp_path):
    assert set(mmpretrain.list_models('*_k400')) >= set(list_models('*_k400'))
    norm = torch.full((384,), 3.0)
    torch.save(dict(state_dict={'backbone.ln1.weight': norm}), tmp_path / 'weights.pth')
    model = mmpretrain.get_model(NAME, pretrained=str(tmp_path / 'weights.pth'))
    assert type(model) is SiamMAE
    assert torch.equal(model.backbone.ln1.weight, norm)
    assert model._metainfo.metadata.parameters == sum(value.numel() for value in model.parameters())


def test_module_can_be_reloaded():
    importlib.reload(model_zoo)
    assert mmpretrain.apis.ModelHub.has(NAME)


def test_installed_package_finds_its_index(tmp_path):
    """A wheel has the index in ``mmvidmae/.mim``; nothing else of the checkout is there."""
    package = tmp_path / 'site' / 'mmvidmae'
    shutil.copytree(ROOT / 'mmvidmae', package, ignore=shutil.ignore_patterns('__pycache__', '.mim'))
    shutil.copytree(ROOT / 'configs', package / '.mim' / 'configs')
    shutil.copy(ROOT / 'model-index.yml', package / '.mim')
    code = f'import mmvidmae.apis, mmpretrain.apis; print(mmpretrain.apis.ModelHub.get("{NAME}").config.filename)'
    done = subprocess.run(
        [sys.executable, '-W', 'ignore', '-c', code],
        cwd=tmp_path,
        env=dict(os.environ, PYTHONPATH=str(package.parent), OMP_NUM_THREADS='1'),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.strip()) == package / '.mim' / 'configs' / 'siammae' / f'{NAME}.py'


def test_model_by_name_file_and_config():
    by_name = get_model(NAME, device='meta')
    assert not by_name.training
    assert next(by_name.parameters()).is_meta
    path = ROOT / 'configs' / 'siammae' / f'{NAME}.py'
    for other in (path, str(path), Config.fromfile(path)):
        assert str(get_model(other, device='meta')) == str(by_name)


@pytest.mark.parametrize('name', ['no-such-model', 'no/such/config.py'])
def test_unknown_model(name):
    with pytest.raises((ValueError, FileNotFoundError), match=name):
        get_model(name)


def test_weights_are_loaded(tiny_config, checkpoint, tmp_path):
    expected = read_state_dict(checkpoint)
    save_file(expected, tmp_path / 'weights.safetensors')
    for path in (checkpoint, str(checkpoint), tmp_path / 'weights.safetensors'):
        loaded = get_model(tiny_config('DropMAE'), path).state_dict()
        assert all(torch.equal(loaded[key].cpu(), value) for key, value in expected.items())


def test_encoder_alone(tiny_config, checkpoint, tmp_path):
    expected = {k: v for k, v in read_state_dict(checkpoint).items() if k.startswith('backbone.')}
    torch.save(dict(state_dict=expected), tmp_path / 'encoder.pth')
    with pytest.warns(UserWarning, match='the decoder is untrained'):
        model = get_model(tiny_config('DropMAE'), tmp_path / 'encoder.pth', 'cpu')
    assert type(model) is DropMAE
    assert all(torch.equal(model.state_dict()[key], value) for key, value in expected.items())


@pytest.mark.parametrize('change', ['missing', 'unexpected', 'shape'])
def test_weights_that_do_not_fit(tiny_config, checkpoint, change):
    saved = torch.load(checkpoint, weights_only=True)
    if change == 'unexpected':
        saved['state_dict']['neck.extra'] = torch.zeros(1)
    elif change == 'shape':
        saved['state_dict']['neck.mask_token'] = torch.zeros(1)
    else:
        del saved['state_dict']['neck.mask_token']
    torch.save(saved, checkpoint)
    name = 'neck.extra' if change == 'unexpected' else 'neck.mask_token'
    with pytest.raises(ValueError, match=rf'epoch_3.pth does not fit(.|\n)*{name}'):
        get_model(tiny_config('DropMAE'), checkpoint)


def test_unreadable_weights(tiny_config, tmp_path):
    (tmp_path / 'text.pth').write_text('text')
    for name in ('text.pth', 'nothing.pth'):
        with pytest.raises(ValueError, match=name):
            get_model(tiny_config('DropMAE'), tmp_path / name)


def test_the_shipped_small_model_uses_the_past_frame():
    """Its file is whole, and it reconstructs better from a past frame of the same scene than from another's."""
    (path,) = (ROOT / 'configs' / 'small' / 'weights').glob('siammae_small-*.safetensors')
    assert path.stem.rpartition('-')[2] == hashlib.sha256(path.read_bytes()).hexdigest()[:8]
    assert path.stat().st_size < 10e6
    model = get_model(ROOT / 'configs' / 'small' / 'siammae_vit-tiny6-p8_1xb8-coslr-20e_clips.py', path, device='cpu')
    coarse = torch.rand(16, 3, 6, 6, generator=torch.Generator().manual_seed(0))
    scenes = F.interpolate(coarse, size=96, mode='bicubic').sub(0.5).mul(4)
    noise = torch.rand(16, 2 * 144, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        same, other = (
            model.forward_pretrain(torch.stack((past, scenes), dim=1), noise).loss.item()
            for past in (scenes, scenes.roll(1, 0))
        )
    assert same < 0.9 * other
