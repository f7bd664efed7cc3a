"""Encoders as folders: exact round trips, damaged and foreign folders, torch.hub."""

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file, save_file

from mmvidmae.apis import from_pretrained
from mmvidmae.models.backbones import AdaptedViT, PairMAEViT, RecurrentViT, RegisterViT
from mmvidmae.models.backbones.pretrained import push
from mmvidmae.models.trackers import OneStreamViT

ROOT = Path(__file__).parents[2]
ARCH = dict(embed_dims=24, num_layers=2, num_heads=2, feedforward_channels=48)
SIZES = dict(arch=ARCH, img_size=(32, 48), patch_size=8)
PREPROCESSING = dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375])
ENCODERS = dict(
    pair=lambda: PairMAEViT(**SIZES, frame_embed=True, with_cls_token=False, out_indices=(0, -1)),
    positional=lambda: PairMAEViT(ARCH, 32, 8, norm_cfg=dict(type='LN', eps=1e-5)),
    register=lambda: RegisterViT(**SIZES, num_registers=2),
    recurrent=lambda: RecurrentViT(**SIZES, core=dict(depth=1)),
    adapted=lambda: AdaptedViT(dict(type='mmvidmae.PairMAEViT', **SIZES)),
)


@pytest.fixture
def make():
    """A function that makes an encoder with weights that are not initial ones."""

    def make(name):
        torch.manual_seed(0)
        encoder = ENCODERS[name]().eval()
        for parameter in encoder.parameters():
            torch.nn.init.normal_(parameter, std=0.2)
        return encoder

    return make


@pytest.fixture
def folder(make, tmp_path):
    return make('pair').save_pretrained(tmp_path / 'encoder', PREPROCESSING, 'DropMAE', 'apache-2.0', 'a training')


def change(folder, **changes):
    """Change the config of a folder."""
    path = folder / 'config.json'
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize('name', ENCODERS)
def test_outputs_after_a_round_trip_are_equal(make, tmp_path, name):
    encoder = make(name)
    loaded = from_pretrained(encoder.save_pretrained(tmp_path, PREPROCESSING))
    assert type(loaded) is type(encoder)
    assert not loaded.training
    frames = torch.randn(2, 3, 40, 64)
    with torch.no_grad():
        for ours, theirs in zip(encoder(frames), loaded(frames), strict=True):
            assert torch.equal(ours, theirs)


def test_the_folder(folder, make):
    assert {path.name for path in folder.iterdir()} == {'model.safetensors', 'config.json', 'README.md'}
    described = json.loads((folder / 'config.json').read_text())
    assert described['backbone']['type'] == 'mmvidmae.PairMAEViT'
    assert described['backbone']['img_size'] == [32, 48]
    assert (described['method'], described['license'], described['source']) == ('DropMAE', 'apache-2.0', 'a training')
    assert described['preprocessing'] == PREPROCESSING | dict(channel_order='RGB')
    assert 'license: apache-2.0' in (folder / 'README.md').read_text()
    # the names of checkpoints of whole models
    assert set(load_file(folder / 'model.safetensors')) == {f'backbone.{name}' for name in make('pair').state_dict()}


def test_a_loaded_encoder_can_be_saved_again(folder, tmp_path):
    encoder = PairMAEViT.from_pretrained(str(folder))
    again = json.loads((encoder.save_pretrained(tmp_path / 'again') / 'config.json').read_text())
    assert again == json.loads((folder / 'config.json').read_text())
    with pytest.raises(ValueError, match='has a PairMAEViT and no RegisterViT'):
        RegisterViT.from_pretrained(folder)


def test_half_precision(make, tmp_path):
    encoder = make('pair')
    folder = encoder.save_pretrained(tmp_path, PREPROCESSING, half=True)
    assert {value.dtype for value in load_file(folder / 'model.safetensors').values()} == {torch.float16}
    for ours, theirs in zip(encoder.parameters(), from_pretrained(folder).parameters(), strict=True):
        assert torch.equal(ours.half().float(), theirs)


def test_changed_weights(folder):
    weights = load_file(folder / 'model.safetensors')
    weights['backbone.ln1.bias'] += 1
    save_file(weights, folder / 'model.safetensors', dict(format='pt'))
    with pytest.raises(ValueError, match=r'model\.safetensors is not the file that config\.json was written for'):
        from_pretrained(folder)


@pytest.mark.parametrize(
    ('backbone', 'message'),
    [
        (
            dict(type='mmpretrain.ResNet', depth=50),
            r"'mmpretrain\.ResNet' is not allowed: expected one of",
        ),
        (dict(type='mmvidmae.TimmBackbone', model_name='x'), 'TimmBackbone'),
        (
            dict(type='mmvidmae.PairMAEViT', init_cfg=dict(type='Pretrained', checkpoint='http://x')),
            'init_cfg is not allowed',
        ),
        (dict(type='mmvidmae.PairMAEViT', init_cfg=dict(checkpoint='http://x')), 'init_cfg is not allowed'),
        (dict(type='mmvidmae.PairMAEViT', norm_cfg=dict(type='mmcv.ops.X')), r"the type 'mmcv\.ops\.X' is not allowed"),
        (dict(type='mmvidmae.PairMAEViT', layer_cfgs=[dict(act_cfg=dict(type='Evil'))]), "the type 'Evil'"),
        (dict(type='mmvidmae.AdaptedViT', encoder=dict(type='mmpretrain.VisionTransformer')), 'VisionTransformer'),
        (dict(type='mmvidmae.PairMAEViT', unknown=1), 'the encoder cannot be built'),
        (dict(type='mmvidmae.PairMAEViT', arch='small'), 'does not fit PairMAEViT'),
        ('PairMAEViT', 'backbone must be a dict'),
    ],
)
def test_encoders_that_are_refused(folder, backbone, message):
    change(folder, backbone=backbone)
    with pytest.raises(ValueError, match=message):
        from_pretrained(folder)


def test_damaged_folders(folder, tmp_path):
    change(folder, format_version=2, mmvidmae_version='9.0')
    with pytest.raises(ValueError, match=r'version 2 \(mmvidmae 9\.0\), this mmvidmae reads 1: update it'):
        from_pretrained(folder)
    change(folder, format_version=None)
    with pytest.raises(ValueError, match=r'has no format_version: it is no config of mmvidmae'):
        from_pretrained(folder)
    change(folder, format_version=1, sha256={})
    with pytest.raises(ValueError, match=r'has no sha256 of model\.safetensors'):
        from_pretrained(folder)
    change(folder, sha256={'model.safetensors': '0'})
    (folder / 'model.safetensors').unlink()
    with pytest.raises(FileNotFoundError, match=r'model\.safetensors is missing'):
        from_pretrained(folder)
    (folder / 'config.json').write_text('{')
    with pytest.raises(ValueError, match=r'config\.json is no JSON'):
        from_pretrained(folder)
    (folder / 'config.json').unlink()
    with pytest.raises(FileNotFoundError, match=r'config\.json is missing'):
        from_pretrained(folder)


def test_encoders_that_cannot_be_saved(make, tmp_path):
    with pytest.raises(ValueError, match='PairMAEViT: set preprocessing, a dict with mean and std'):
        make('pair').save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"OneStreamViT: 'mmvidmae\.OneStreamViT' is not allowed"):
        OneStreamViT(ARCH, 32, 64, 8, ce_loc=(), ce_keep_ratio=()).save_pretrained(tmp_path, PREPROCESSING)
    assert not [*tmp_path.iterdir()]


def test_a_missing_folder_asks_nobody(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, 'huggingface_hub', None)
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'work_dirs').mkdir()
    for missing in ('missing', './some/folder', str(tmp_path / 'missing'), 'work_dirs/missing', Path('user/name')):
        with pytest.raises(FileNotFoundError, match='is no folder'):
            from_pretrained(missing)
    with pytest.raises(ImportError, match='run `pip install huggingface_hub`'):
        from_pretrained('user/name')
    with pytest.raises(ImportError, match='run `pip install huggingface_hub`'):
        push(tmp_path, 'user/name')


def test_a_repository_is_downloaded_and_uploaded_in_part(folder, monkeypatch):
    """A stand-in takes the place of the network; only weights, config and card are asked for."""
    calls = []

    class Api:
        def create_repo(self, repo_id, **options):
            calls.append(repo_id)

        def upload_folder(self, **options):
            calls.append(options)
            return 'https://hub/commit'

    def snapshot_download(repo_id, revision, allow_patterns):
        calls.append((repo_id, revision, allow_patterns))
        return str(folder)

    monkeypatch.setitem(sys.modules, 'huggingface_hub', SimpleNamespace(HfApi=Api, snapshot_download=snapshot_download))
    assert from_pretrained('some-user/an.encoder', 'v1').about['method'] == 'DropMAE'
    assert calls == [('some-user/an.encoder', 'v1', ['model.safetensors', 'config.json'])]
    assert push(folder, 'some-user/an.encoder') == 'https://hub/commit'
    assert calls[1] == 'some-user/an.encoder'
    assert calls[2]['folder_path'] == str(folder)
    with pytest.raises(ValueError, match='expected USER/NAME'):
        push(folder, 'name')


def test_torch_hub(folder, make):
    encoder = torch.hub.load(str(ROOT), 'encoder', source='local', folder_or_repo_id=str(folder))
    frames = torch.randn(1, 3, 32, 48)
    assert torch.equal(encoder(frames)[-1], make('pair')(frames)[-1])
