"""A converted encoder gives the same features in every toolbox: those that the authors' code gave, where recorded."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.registry import DefaultScope
from mmpretrain.models.backbones import VisionTransformer
from torch import Tensor

from mmvidmae.converters import convert_state_dict, fold_identity, write_state_dict
from mmvidmae.models.backbones import PairMAEViT

GOLDEN = Path(__file__).parents[1] / 'data' / 'parity'


def golden(name: str) -> tuple[dict[str, np.ndarray], dict[str, Tensor], dict]:
    """Arrays of a reference file, its weights under the authors' names, and the sizes of its encoder."""
    with np.load(GOLDEN / f'{name}.npz', allow_pickle=False) as archive:
        arrays = dict(archive)
    state = {key.removeprefix('state/'): torch.from_numpy(arrays[key]) for key in arrays if key.startswith('state/')}
    cfg = {key: int(arrays[f'cfg/{key}']) for key in ('embed_dim', 'depth', 'num_heads', 'img_size', 'patch')}
    return arrays, state, {**cfg, 'hidden': len(state['blocks.0.mlp.fc1.weight'])}


def in_mmvidmae(state: dict, cfg: dict, cls_token: bool, folder: Path) -> Callable[[Tensor], Tensor]:
    model = PairMAEViT(_arch(cfg), cfg['img_size'], cfg['patch'], with_cls_token=cls_token)
    write_state_dict(state, folder / 'encoder.pth', {})
    model.init_cfg = dict(type='Pretrained', checkpoint=str(folder / 'encoder.pth'), prefix='backbone.')
    model.init_weights()
    return lambda x: model.eval()(x)[0]


def in_mmpretrain(state: dict, cfg: dict, cls_token: bool, folder: Path) -> Callable[[Tensor], Tensor]:
    model = VisionTransformer(_arch(cfg), cfg['img_size'], cfg['patch'], with_cls_token=cls_token, out_type='featmap')
    model.eval()  # returns None
    model.load_state_dict({key.removeprefix('backbone.'): value for key, value in state.items()})
    return lambda x: model(x)[0]


def in_timm(state: dict, cfg: dict, cls_token: bool, folder: Path) -> Callable[[Tensor], Tensor]:
    timm = pytest.importorskip('timm')
    model = timm.models.VisionTransformer(
        img_size=cfg['img_size'],
        patch_size=cfg['patch'],
        embed_dim=cfg['embed_dim'],
        depth=cfg['depth'],
        num_heads=cfg['num_heads'],
        mlp_ratio=cfg['hidden'] / cfg['embed_dim'],
        class_token=cls_token,
        global_pool='',
        num_classes=0,
    ).eval()
    model.load_state_dict(state)
    side = cfg['img_size'] // cfg['patch']
    return lambda x: model(x)[:, int(cls_token) :].transpose(1, 2).unflatten(2, (side, side))


def in_mmseg(state: dict, cfg: dict, cls_token: bool, folder: Path) -> Callable[[Tensor], Tensor]:
    pytest.importorskip('mmseg')
    try:
        from mmseg.models import EncoderDecoder
    except ModuleNotFoundError as error:  # mmcv without compiled ops
        pytest.skip(str(error))
    write_state_dict(state, folder / 'encoder.pth', {})
    with DefaultScope.overwrite_default_scope('mmseg'):
        model = EncoderDecoder(
            backbone=dict(
                type='VisionTransformer',
                img_size=cfg['img_size'],
                patch_size=cfg['patch'],
                embed_dims=cfg['embed_dim'],
                num_layers=cfg['depth'],
                num_heads=cfg['num_heads'],
                mlp_ratio=cfg['hidden'] // cfg['embed_dim'],
                with_cls_token=cls_token,
                patch_bias=True,
                final_norm=True,
                norm_cfg=dict(type='LN', eps=1e-6),
                init_cfg=dict(type='Pretrained', checkpoint=str(folder / 'encoder.pth')),
            ),
            decode_head=dict(type='FCNHead', in_channels=cfg['embed_dim'], channels=8, num_classes=2, num_convs=1),
        )
        assert model.backbone.state_dict().keys() == state.keys()
        model.init_weights()
    return lambda x: model.eval().extract_feat(x)[0]


TOOLBOXES = {'mmvidmae': in_mmvidmae, 'mmpretrain': in_mmpretrain, 'timm': in_timm, 'mmseg': in_mmseg}


def _arch(cfg: dict) -> dict:
    return dict(
        embed_dims=cfg['embed_dim'],
        num_layers=cfg['depth'],
        num_heads=cfg['num_heads'],
        feedforward_channels=cfg['hidden'],
    )


@pytest.fixture
def record(record_property) -> Callable[[Tensor, Tensor], None]:
    """Compares features and notes their largest difference in the test report."""

    def compare(actual: Tensor, expected: Tensor) -> None:
        record_property('max_abs_difference', f'{(actual - expected).abs().max():.2e}')
        torch.testing.assert_close(actual, expected, atol=1e-5, rtol=0)

    return compare


@torch.no_grad()
@pytest.mark.parametrize('toolbox', TOOLBOXES)
def test_siammae_encoder_gives_what_the_authors_code_gave(tmp_path, record, toolbox):
    arrays, state, cfg = golden('siammae_cropmae')
    converted = convert_state_dict(state, target=toolbox, encoder_only=True).state_dict
    features = TOOLBOXES[toolbox](converted, cfg, True, tmp_path)(torch.from_numpy(arrays['frame1']))
    record(features.flatten(2).transpose(1, 2), torch.from_numpy(arrays['features_frame1'])[:, 1:])


@torch.no_grad()
@pytest.mark.parametrize('frame', [0, 1])
@pytest.mark.parametrize('toolbox', TOOLBOXES)
def test_dropmae_encoder_with_folded_identity(tmp_path, record, toolbox, frame):
    arrays, state, cfg = golden('dropmae_forward')
    pair = torch.stack([torch.from_numpy(arrays[name]) for name in ('imgs_x', 'imgs_z')], dim=1)
    # The model that the parity checks hold against the authors' numbers, on one frame of a pair.
    ours = PairMAEViT(_arch(cfg), cfg['img_size'], cfg['patch'], frame_embed=True, with_cls_token=False).eval()
    encoder = convert_state_dict(state, encoder_only=True).state_dict
    ours.load_state_dict({key.removeprefix('backbone.'): value for key, value in encoder.items()})
    tokens, _ = ours.embed(pair)
    (expected,) = ours.encode(tokens[:, frame], ours.out_indices)

    converted = convert_state_dict(state, target=toolbox, encoder_only=True, fold_identity=frame).state_dict
    features = TOOLBOXES[toolbox](converted, cfg, False, tmp_path)(pair[:, frame])
    record(features.flatten(2).transpose(1, 2), expected)
    assert fold_identity(encoder, frame).keys() == encoder.keys() - {'backbone.frame_embed'}
