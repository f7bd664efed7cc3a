"""``.safetensors`` wherever MMEngine loads a checkpoint."""

import pytest
import torch
from mmengine.runner import CheckpointLoader, load_checkpoint
from safetensors.torch import save_file

import mmvidmae.compat
from mmvidmae.models.backbones import PairMAEViT

SIZES = dict(arch=dict(embed_dims=24, num_layers=2, num_heads=2, feedforward_channels=48), img_size=16, patch_size=8)


@pytest.fixture
def encoder():
    torch.manual_seed(0)
    return PairMAEViT(**SIZES)


def same(one: torch.nn.Module, two: torch.nn.Module) -> bool:
    return all(torch.equal(value, two.state_dict()[name]) for name, value in one.state_dict().items())


@pytest.mark.parametrize('prefix', ['', 'backbone.'])
@pytest.mark.parametrize('name', ['weights.safetensors', 'WEIGHTS.SafeTensors'])
def test_init_cfg(encoder, tmp_path, prefix, name):
    save_file({f'{prefix}{key}': value for key, value in encoder.state_dict().items()}, tmp_path / name)
    init_cfg = dict(type='Pretrained', checkpoint=str(tmp_path / name), **(dict(prefix=prefix) if prefix else {}))
    other = PairMAEViT(**SIZES, init_cfg=init_cfg)
    other.init_weights()
    assert same(encoder, other)


@pytest.mark.parametrize('map_location', [None, 'cpu', torch.device('cpu'), lambda storage, place: storage])
def test_any_call_of_mmengines_loader(encoder, tmp_path, map_location):
    save_file(encoder.state_dict(), tmp_path / 'w.safetensors', dict(source='x'))
    checkpoint = CheckpointLoader.load_checkpoint(str(tmp_path / 'w.safetensors'), map_location)
    assert checkpoint['meta'] == dict(source='x')
    other = PairMAEViT(**SIZES)
    load_checkpoint(other, str(tmp_path / 'w.safetensors'), map_location, strict=True)
    assert same(encoder, other)


def test_other_files_go_the_old_way(encoder, tmp_path):
    mmvidmae.compat.apply()  # again
    torch.save(dict(state_dict=encoder.state_dict()), tmp_path / 'w.pth')
    other = PairMAEViT(**SIZES)
    load_checkpoint(other, str(tmp_path / 'w.pth'), strict=True)
    assert same(encoder, other)
    for name in ('nothing.pth', 'nothing.safetensors'):
        with pytest.raises(FileNotFoundError, match=name):
            CheckpointLoader.load_checkpoint(str(tmp_path / name))
    (tmp_path / 'damaged.safetensors').write_bytes(b'damaged')
    with pytest.raises(ValueError, match=r'damaged\.safetensors cannot be read'):
        CheckpointLoader.load_checkpoint(str(tmp_path / 'damaged.safetensors'))
