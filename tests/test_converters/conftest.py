"""State dicts in every format, made from tiny models with random parameters."""

from collections.abc import Callable

import pytest
import torch
from mmengine.registry import DefaultScope

from mmvidmae import converters
from mmvidmae.models.selfsup import RSP, RVM, CatMAE, CoSettle, DropMAE, PairMAE, SiamMAE
from mmvidmae.models.trackers import CenterHead

ARCH = dict(embed_dims=32, num_layers=3, num_heads=2, feedforward_channels=64)
BACKBONE = dict(arch=ARCH, img_size=32, patch_size=8)
NECK = dict(decoder_dims=16, depth=2, num_heads=2)
MODELS = {
    'dropmae': lambda: DropMAE(backbone=BACKBONE, neck=NECK),
    'cropmae': lambda: SiamMAE(backbone=BACKBONE, neck=dict(norm_first=False, **NECK)),
    'siammae': lambda: SiamMAE(backbone=BACKBONE, neck=NECK),
    'catmae': lambda: CatMAE(backbone=BACKBONE, neck=NECK),
    'rsp': lambda: RSP(backbone=BACKBONE, neck=NECK, stochastic=dict(num_variables=3, num_classes=5)),
    'mae': lambda: PairMAE(backbone=BACKBONE, neck=dict(frame_embed=False, **NECK)),
    'cosettle': lambda: CoSettle(backbone=dict(encoder=dict(type='mmvidmae.PairMAEViT', **BACKBONE))),
    'rvm': lambda: RVM(backbone=dict(core=dict(depth=2), **BACKBONE), neck=NECK),
}


def ours(kind: str) -> dict[str, torch.Tensor]:
    """Parameters of a model of ours, by kind of decoder."""
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        model = MODELS[kind]()
    generator = torch.Generator().manual_seed(0)
    return {
        name: torch.randn(value.shape, generator=generator) * 0.2 + (1.0 if '.ln' in name else 0.0)
        for name, value in model.state_dict().items()
    }


def encoder_of(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: value for name, value in state.items() if name.startswith('backbone.')}


def foreign(name: str) -> dict[str, torch.Tensor]:
    """Parameters as the file of a format has them, with everything that its models keep besides the encoder."""
    filler = torch.ones(2)
    if name in ('dropmae', 'cropmae', 'mae', 'catmae', 'rsp', 'tobo'):
        return getattr(converters, f'mmvidmae_to_{name}')(ours('siammae' if name == 'tobo' else name))
    if name == 'rvm':
        return converters.mmvidmae_to_rvm(ours('rvm'), dict(encoder=2, rnn_core=2, decoder=2))
    if name == 'cosettle':
        adapter = {key: value for key, value in ours('cosettle').items() if key.startswith('backbone.adapter.')}
        return converters.mmvidmae_to_cosettle({**encoder_of(ours('mae')), **adapter})
    if name in ('mmvidmae', 'mmpretrain'):
        return ours('dropmae' if name == 'mmvidmae' else 'mae')
    if name in ('hiptrack', 'bat'):
        extra = {
            'hiptrack': ('HIP.encoder.conv1.bias', 'key_comp.bias', 'searchRegionFusion.conv1.bias'),
            'bat': ('backbone.blocks.0.adap_t.adapter_up.bias', 'backbone.blocks.0.adap2_t.adapter_up.bias'),
        }[name]
        return foreign('droptrack') | dict.fromkeys(extra, filler)
    if name in ('droptrack', 'dropseg'):
        encoder = converters.mmvidmae_to_dropmae(encoder_of(ours('dropmae')))
        if name == 'dropseg':
            extra = ('mask_patch_embed.proj.weight', 'fpn1.0.weight', 'stcn_decoder.pred.weight', 'cls_token')
            return {**encoder, **dict.fromkeys(extra, filler)}
        encoder.update(pos_embed_x=encoder['pos_embed'][:, 1:], pos_embed_z=torch.ones(1, 4, 32), cls_token=filler)
        head = {f'head.{key}': value for key, value in CenterHead(32, 16).state_dict().items()}
        return {f'backbone.{key}': value for key, value in encoder.items()} | converters.mmvidmae_to_droptrack(head)
    if name in ('vitmae', 'transformers'):
        return hugging_face(ours('mae') if name == 'vitmae' else encoder_of(ours('mae')))
    encoder = converters.mmvidmae_to_mae(encoder_of(ours('mae')))
    if name == 'dinov2':
        encoder = with_layer_scale(encoder)
    if name == 'dino':
        encoder = {f'backbone.{key}': value for key, value in encoder.items()}
    extra = {
        'tobo': ('mask_token', 'decoder_embed_mae.weight', 'decoder_blocks.0.cattn.q.weight'),
        'dino': ('head.mlp.0.weight', 'head.last_layer.weight_g'),
        'dinov2': ('mask_token', 'dino_head.mlp.0.weight', 'ibot_head.last_layer.weight_g'),
        'timm': ('head.weight', 'head.bias'),
    }[name]
    return {**encoder, **dict.fromkeys(extra, filler)}


def with_layer_scale(encoder: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The same encoder with LayerScale. The scales are powers of 2, with which folding is exact in every bit."""
    scaled = dict(encoder)
    for layer in range(ARCH['num_layers']):
        for scale, linear in (('ls1', 'attn.proj'), ('ls2', 'mlp.fc2')):
            gamma = 2.0 ** (torch.arange(32) % 5 - 3)
            scaled[f'blocks.{layer}.{scale}.gamma'] = gamma
            scaled[f'blocks.{layer}.{linear}.weight'] = encoder[f'blocks.{layer}.{linear}.weight'] / gamma[:, None]
            scaled[f'blocks.{layer}.{linear}.bias'] = encoder[f'blocks.{layer}.{linear}.bias'] / gamma
    return scaled


def hugging_face(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Our parameters by the names of Hugging Face's files of ViT and ViTMAE, with a pooler for ViT."""
    renamed = {}
    for name, value in converters.mmvidmae_to_mae(state).items():
        if name.startswith('decoder') or name == 'mask_token':
            name = f'decoder.{name}'
        name = name.replace('decoder_blocks.', 'decoder_layers.')
        for theirs, new in (
            ('blocks.', 'encoder.layer.'),
            ('cls_token', 'embeddings.cls_token'),
            ('patch_embed.proj', 'embeddings.patch_embeddings.projection'),
            ('norm1', 'layernorm_before'),
            ('norm2', 'layernorm_after'),
            ('attn.proj', 'attention.output.dense'),
            ('mlp.fc1', 'intermediate.dense'),
            ('mlp.fc2', 'output.dense'),
        ):
            name = name.replace(theirs, new)
        name = 'embeddings.position_embeddings' if name == 'pos_embed' else name
        name = f'layernorm.{name[5:]}' if name.startswith('norm.') else name
        prefix = '' if name.startswith('decoder') else 'vit.'
        if '.attn.qkv.' in name:
            for part, third in zip(('query', 'key', 'value'), value.chunk(3)):
                renamed[prefix + name.replace('attn.qkv', f'attention.attention.{part}')] = third
        else:
            renamed[prefix + name] = value
    if not any(name.startswith('decoder') for name in renamed):
        renamed.update(dict.fromkeys(('vit.pooler.dense.weight', 'classifier.bias'), torch.ones(2)))
    return renamed


@pytest.fixture(scope='session')
def our_state() -> Callable[[str], dict[str, torch.Tensor]]:
    """A function ``our_state(kind)``: parameters with our names; kind is one of ``MODELS``."""
    return ours


@pytest.fixture(scope='session')
def foreign_state() -> Callable[[str], dict[str, torch.Tensor]]:
    """A function ``foreign_state(format)``: what a file of that format of ``SOURCES`` holds."""
    return foreign
