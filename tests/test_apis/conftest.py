"""Tiny models, and configs and checkpoints of them."""

import pytest
import torch
from mmengine.config import Config

from mmvidmae.apis import get_model

ARCH = dict(embed_dims=48, num_layers=3, num_heads=3, feedforward_channels=96)


@pytest.fixture(scope='session')
def tiny_config():
    """A function that gives the config of a DropMAE or SiamMAE for frames of 32 x 32, patches of 8."""

    def make(name):
        model = dict(
            type=f'mmvidmae.{name}',
            backbone=dict(arch=ARCH, img_size=32, patch_size=8),
            neck=dict(decoder_dims=48, depth=1, num_heads=3),
        )
        if name == 'SiamMAE':  # of 16 patches, 5 % is none
            model['masking'] = dict(mask_ratio=(0.0, 0.75))
        return Config(dict(model=model))

    return make


@pytest.fixture(scope='session', params=['DropMAE', 'SiamMAE'])
def model(request, tiny_config):
    """A model with initial weights, for tests that do not change it."""
    torch.manual_seed(0)
    return get_model(tiny_config(request.param), device='cpu')


@pytest.fixture
def checkpoint(tmp_path, tiny_config):
    """A DropMAE's checkpoint with what MMEngine saves beside the weights."""
    state_dict = get_model(tiny_config('DropMAE'), device='cpu').state_dict()
    weight = next(iter(state_dict.values()))
    path = tmp_path / 'epoch_3.pth'
    torch.save(
        dict(
            meta=dict(epoch=3, iter=30, experiment_name='my-dropmae_20250101_000000', cfg='data_root = "/home/me"'),
            state_dict=state_dict,
            optimizer=dict(state={0: dict(exp_avg=torch.zeros_like(weight))}),
        ),
        path,
    )
    return path
