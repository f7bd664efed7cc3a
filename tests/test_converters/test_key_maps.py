"""Names of the authors' parameters and ours; that the numbers agree is shown in tests/test_models/test_parity.py and
test_feature_parity.py."""

import pytest
import torch
from mmengine.registry import init_default_scope

from mmvidmae import converters
from mmvidmae.models.layers import CrossBlock
from mmvidmae.models.selfsup import RSP, CatMAE, DropMAE, SiamMAE

BACKBONE = dict(
    arch=dict(embed_dims=24, num_layers=11, num_heads=2, feedforward_channels=48), img_size=(16, 24), patch_size=8
)
NECK = dict(decoder_dims=16, depth=2, num_heads=2)


def state_of(method: str) -> dict[str, torch.Tensor]:
    init_default_scope('mmpretrain')
    if method == 'rsp_block':
        return CrossBlock(16, 2, 32).state_dict()
    if method == 'cropmae':
        return SiamMAE(backbone=BACKBONE, neck=dict(norm_first=False, **NECK)).state_dict()
    if method in ('catmae', 'rsp'):
        return dict(catmae=CatMAE, rsp=RSP)[method](backbone=BACKBONE, neck=NECK).state_dict()
    return DropMAE(backbone=BACKBONE, neck=NECK).state_dict()


@pytest.mark.parametrize('method', ['dropmae', 'cropmae', 'catmae', 'rsp', 'rsp_block'])
def test_round_trip_is_exact(method):
    state = {
        name: value if 'pos_embed' in name else torch.randn_like(value)
        for name, value in state_of(method).items()
        if 'data_preprocessor' not in name
    }
    theirs = getattr(converters, f'mmvidmae_to_{method}')(state)
    back = getattr(converters, f'{method}_to_mmvidmae')(theirs)
    assert back.keys() == state.keys()
    assert all(torch.equal(back[name], state[name]) for name in state)


def test_names_and_shapes_of_dropmae():
    theirs = converters.mmvidmae_to_dropmae(state_of('dropmae'))
    assert theirs['pos_embed'].shape == (1, 7, 24)  # row 0: the class token that DropMAE never uses
    assert not theirs['pos_embed'][:, 0].any()
    assert theirs['temporal_pos_embed_x'].shape == theirs['temporal_pos_embed_z'].shape == (1, 1, 24)
    assert theirs['blocks.10.mlp.fc1.weight'].shape == (48, 24)
    assert theirs['decoder_blocks.1.attn.qkv.bias'].shape == (48,)


def test_names_and_shapes_of_catmae_and_rsp():
    theirs = converters.mmvidmae_to_catmae(state_of('catmae'))
    assert theirs['decoder_frame_info'].shape == (2, 1, 1, 16)
    assert theirs['decoder_blocks.1.multihead_attn.in_proj_weight'].shape == (48, 16)
    theirs = converters.mmvidmae_to_rsp(state_of('rsp'))
    assert theirs['to_posterior.0.weight'].shape == (48, 48)
    assert theirs['to_prior.2.bias'].shape == (1024,)
    assert theirs['decoder_embed_stoch.weight'].shape == (16, 1024)
    assert {name for name in theirs if name.startswith('decoder_embed')} == {
        f'decoder_embed_{role}.{part}' for role in ('deter', 'mae', 'stoch') for part in ('weight', 'bias')
    }


@pytest.mark.parametrize('method', ['dropmae', 'cropmae', 'catmae', 'rsp', 'rsp_block'])
def test_unknown_names_are_listed(method):
    convert = getattr(converters, f'{method}_to_mmvidmae')
    theirs = getattr(converters, f'mmvidmae_to_{method}')(state_of(method))
    with pytest.raises(KeyError, match=r'2 parameter names are unknown: blocks\.0\.gamma, head\.weight'):
        convert({**theirs, 'head.weight': torch.zeros(1), 'blocks.0.gamma': torch.zeros(1)})
