"""Conversion of T-CoRe's files, whole and encoder-only."""

import pytest
import torch
from mmengine.registry import DefaultScope

from mmvidmae.converters import ConversionError, convert_state_dict, recognize
from mmvidmae.models.backbones import RegisterViT
from mmvidmae.models.selfsup import TCoRe

ARCH = dict(embed_dims=24, num_layers=2, num_heads=2, feedforward_channels=48)


@pytest.fixture
def state() -> dict:
    """A model of ours with different parameters everywhere."""
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        model = TCoRe(
            backbone=dict(arch=ARCH, img_size=16, patch_size=4, num_registers=3),
            neck=dict(num_heads=3, depth=2),
            head=dict(num_prototypes=10, hidden_dims=12, bottleneck_dims=6),
        )
    generator = torch.Generator().manual_seed(0)
    return {name: torch.randn(value.shape, generator=generator) for name, value in model.state_dict().items()}


def equal(first: dict, second: dict) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def part(state: dict, prefix: str) -> dict:
    return {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}


def test_whole_model_goes_and_comes_back(state):
    there = convert_state_dict(state, target='tcore')
    theirs = there.state_dict
    assert theirs['student.backbone.mask_token'].shape == (1, 24)
    assert theirs['auxiliary.auxiliary_decoder.decoder.1.auxiliary_cross_attn.in_proj_weight'].shape == (72, 24)
    assert theirs['ibot_patch_loss.center'].shape == (1, 1, 10)
    assert recognize(theirs) == 'tcore'
    back = convert_state_dict({**theirs, 'ibot_patch_loss_2.center': torch.zeros(1, 1, 10)})
    assert equal(back.state_dict, state)
    assert list(back.dropped.values()) == [('ibot_patch_loss_2.center',)]


def test_the_encoder_of_a_whole_model_is_the_teachers(state):
    theirs = convert_state_dict(state, target='tcore').state_dict
    expected = {f'backbone.{name}': value for name, value in part(state, 'teacher.backbone.').items()}
    for whole in (state, theirs, part(theirs, 'teacher.')):
        assert equal(convert_state_dict(whole, encoder_only=True).state_dict, expected)
    assert equal(
        convert_state_dict(state, target='tcore', encoder_only=True).state_dict,
        {name: value for name, value in part(theirs, 'teacher.').items() if name.startswith('backbone.')},
    )


def test_converted_encoder_loads_and_gives_feature_maps(state):
    backbone = RegisterViT(ARCH, img_size=16, patch_size=4, num_registers=3).eval()
    converted = convert_state_dict(state, encoder_only=True).state_dict
    backbone.load_state_dict(part(converted, 'backbone.'))
    (maps,) = backbone(torch.randn(2, 3, 24, 20))
    assert maps.shape == (2, 24, 6, 5)


@pytest.mark.parametrize('target', ['timm', 'mae', 'mmpretrain', 'mmseg'])
def test_formats_without_registers_refuse(state, target):
    with pytest.raises(ConversionError, match=f'{target} does not have the registers, LayerScale and mask token'):
        convert_state_dict(state, target=target, encoder_only=True)
