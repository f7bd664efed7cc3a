"""Parameter names of the authors' implementations and ours, in both directions.

State dicts are converted without loss. Other dicts of tensors with the same names and shapes, such as gradients, are
converted in the same way.
"""

import re
from collections.abc import Mapping

import torch
from torch import Tensor

from mmvidmae.models.layers import square_grid

StateDict = dict[str, Tensor]

_BLOCK = (
    ('norm1', 'ln1'),
    ('attn.qkv', 'attn.qkv'),
    ('attn.proj', 'attn.proj'),
    ('norm2', 'ln2'),
    ('mlp.fc1', 'ffn.layers.0.0'),
    ('mlp.fc2', 'ffn.layers.1'),
)
_ENCODER = (
    ('cls_token', 'backbone.cls_token'),
    ('pos_embed', 'backbone.pos_embed'),
    ('patch_embed.proj', 'backbone.patch_embed.projection'),
    *((f'blocks.#.{theirs}', f'backbone.layers.#.{ours}') for theirs, ours in _BLOCK),
    ('norm', 'backbone.ln1'),
)
_DECODER = (
    ('decoder_embed', 'neck.decoder_embed'),
    ('mask_token', 'neck.mask_token'),
    ('decoder_pos_embed', 'neck.decoder_pos_embed'),
    ('decoder_norm', 'neck.ln1'),
    ('decoder_pred', 'neck.decoder_pred'),
)
_MAE = (
    *_ENCODER,
    *_DECODER,
    *((f'decoder_blocks.#.{theirs}', f'neck.decoder_blocks.#.{ours}') for theirs, ours in _BLOCK),
)
_DROPMAE = (
    *_MAE,
    ('temporal_pos_embed', 'backbone.frame_embed'),
    ('decoder_temporal_pos_embed', 'neck.frame_embed'),
)
_CROPMAE_BLOCK = (
    ('multihead_attn.q', 'cross_attn.q'),
    ('multihead_attn.kv', 'cross_attn.kv'),
    ('multihead_attn.out_proj', 'cross_attn.proj'),
    ('norm2', 'ln_cross'),
    ('self_attn.in_proj', 'self_attn.qkv'),
    ('self_attn.out_proj', 'self_attn.proj'),
    ('norm1', 'ln_self'),
    ('linear1', 'ffn.layers.0.0'),
    ('linear2', 'ffn.layers.1'),
    ('norm3', 'ln_ffn'),
)
_CROPMAE = (
    *_ENCODER,
    *_DECODER,
    *((f'decoder_blocks.#.{theirs}', f'neck.decoder_blocks.#.{ours}') for theirs, ours in _CROPMAE_BLOCK),
)
_DROPTRACK = (
    *_ENCODER[2:],
    ('temporal_pos_embed', 'backbone.frame_embed'),
    ('pos_embed_z', 'backbone.pos_embed_z'),
    ('pos_embed_x', 'backbone.pos_embed_x'),
    *(
        (f'box_head.conv{i + 1}_{theirs}.{j}', f'head.{ours}.{i}.{part}')
        for theirs, ours in (('ctr', 'score'), ('size', 'size'), ('offset', 'offset'))
        for i in range(4)
        for j, part in enumerate(('conv', 'bn'))
    ),
    *(
        (f'box_head.conv5_{theirs}', f'head.{ours}.4')
        for theirs, ours in (('ctr', 'score'), ('size', 'size'), ('offset', 'offset'))
    ),
)
_DROPSEG_BLOCKS = (
    ('compress', 'compress'),
    ('up_16_8.out_conv', 'blocks.0'),
    ('up_8_4.out_conv', 'blocks.1'),
)
_DROPSEG = (
    *_ENCODER,
    ('temporal_pos_embed', 'backbone.frame_embed'),
    ('mask_patch_embed.proj', 'backbone.mask_embed'),
    ('fpn2.0', 'neck.up2'),
    ('fpn1.0', 'neck.up4.0'),
    ('fpn1.1.ln', 'neck.up4.1'),
    ('fpn1.3', 'neck.up4.3'),
    ('stcn_decoder.up_16_8.skip_conv', 'decode_head.skips.0'),
    ('stcn_decoder.up_8_4.skip_conv', 'decode_head.skips.1'),
    *(
        (f'stcn_decoder.{theirs}.{part}', f'decode_head.{ours}.{own_part}')
        for theirs, ours in _DROPSEG_BLOCKS
        for part, own_part in (('conv1', 'conv1'), ('conv2', 'conv2'), ('downsample', 'shortcut'))
    ),
    ('stcn_decoder.pred', 'decode_head.pred'),
)
_RSP_BLOCK = (
    ('norm1', 'ln_cross'),
    ('norm_kv1', 'ln_memory'),
    ('cattn.q', 'cross_attn.q'),
    ('cattn.kv', 'cross_attn.kv'),
    ('cattn.proj', 'cross_attn.proj'),
    ('norm3', 'ln_self'),
    ('attn.qkv', 'self_attn.qkv'),
    ('attn.proj', 'self_attn.proj'),
    ('norm4', 'ln_ffn'),
    ('mlp2.fc1', 'ffn.layers.0.0'),
    ('mlp2.fc2', 'ffn.layers.1'),
)

_TRANSFORMERS_4 = (
    (r'(^|\.)encoder\.layer\.', r'\1layers.'),
    (r'\.attention\.attention\.(q|k|v)(uery|ey|alue)\.', r'.attention.\1_proj.'),
    (r'\.attention\.output\.dense\.', '.attention.o_proj.'),
    (r'\.intermediate\.dense\.', '.mlp.fc1.'),
    (r'\.output\.dense\.', '.mlp.fc2.'),
)
"""Names of the files on Hugging Face and of transformers 4, and those of transformers 5."""

_TRANSFORMERS_BLOCK = (
    ('attention.qkv', 'attn.qkv'),
    ('attention.o_proj', 'attn.proj'),
    ('norm1', 'ln1'),
    ('norm2', 'ln2'),
    ('layernorm_before', 'ln1'),
    ('layernorm_after', 'ln2'),
    ('mlp.fc1', 'ffn.layers.0.0'),
    ('mlp.fc2', 'ffn.layers.1'),
)
_TRANSFORMERS = (
    ('embeddings.cls_token', 'backbone.cls_token'),
    ('embeddings.position_embeddings', 'backbone.pos_embed'),
    ('embeddings.patch_embeddings.projection', 'backbone.patch_embed.projection'),
    *((f'layers.#.{theirs}', f'backbone.layers.#.{ours}') for theirs, ours in _TRANSFORMERS_BLOCK),
    ('layernorm', 'backbone.ln1'),
    *((f'decoder.{theirs}', ours) for theirs, ours in _DECODER),
    *((f'decoder.decoder_layers.#.{theirs}', f'neck.decoder_blocks.#.{ours}') for theirs, ours in _TRANSFORMERS_BLOCK),
)


def _rename(state: Mapping[str, Tensor], pairs: list[tuple[str, str]]) -> StateDict:
    """Rename keys by pairs of names, in which ``#`` is a layer number. Suffixes such as ``.weight`` are kept."""
    suffixes = r'((?:\.(?:weight|bias|running_mean|running_var|num_batches_tracked))?)'
    rules = {re.escape(old).replace(r'\#', r'(\d+)') + suffixes: new for old, new in pairs}
    renamed, unknown = {}, []
    for key, value in state.items():
        for pattern, new in rules.items():
            if match := re.fullmatch(pattern, key):
                *layer, suffix = match.groups()
                renamed[new.replace('#', layer[0]) + suffix if layer else new + suffix] = value
                break
        else:
            unknown.append(key)
    if unknown:
        raise KeyError(f'{len(unknown)} parameter names are unknown: {", ".join(sorted(unknown))}')
    return renamed


def _to_ours(state: Mapping[str, Tensor], table: tuple[tuple[str, str], ...]) -> StateDict:
    return _rename(state, list(table))


def _to_theirs(state: Mapping[str, Tensor], table: tuple[tuple[str, str], ...]) -> StateDict:
    return _rename(state, [(ours, theirs) for theirs, ours in table])


def _without_prefix(state: Mapping[str, Tensor], prefix: str) -> StateDict:
    stripped = {key.removeprefix(prefix): value for key, value in state.items()}
    if len(stripped) < len(state):
        raise KeyError(f'some parameters occur twice, with and without the prefix {prefix!r}')
    return stripped


def _stack_identities(state: Mapping[str, Tensor]) -> StateDict:
    """Join DropMAE's identity vectors ``x`` and ``z`` to one tensor of a row for each frame."""
    state = dict(state)
    for name in ('temporal_pos_embed', 'decoder_temporal_pos_embed'):
        if f'{name}_x' in state and f'{name}_z' in state:
            state[name] = torch.stack((state.pop(f'{name}_x'), state.pop(f'{name}_z')), dim=1)
    return state


def _fold_layer_scale(state: Mapping[str, Tensor], folded: Mapping[str, str]) -> StateDict:
    """Multiply the last linear map of each branch by its LayerScale. Half precision becomes float32.

    Args:
        state: Parameters by name.
        folded: Name of the linear map of each LayerScale, both without the prefix of their layer.

    Raises:
        KeyError: If a LayerScale has no linear map.
    """
    state = dict(state)
    for gamma_name in [name for name in state if name.endswith(tuple(f'.{scale}' for scale in folded))]:
        gamma = state.pop(gamma_name)
        scale = next(scale for scale in folded if gamma_name.endswith(f'.{scale}'))
        linear = gamma_name.removesuffix(scale) + folded[scale]
        if f'{linear}.weight' not in state:
            raise KeyError(f'missing: {linear}.weight, which {gamma_name} scales')
        for name in (f'{linear}.weight', f'{linear}.bias'):
            if name in state:
                value = state[name].to(torch.promote_types(state[name].dtype, torch.float32))
                state[name] = gamma.to(value).view(-1, *[1] * (value.ndim - 1)) * value
    return state


def _join_qkv(state: Mapping[str, Tensor]) -> StateDict:
    """Join the projections ``q_proj``, ``k_proj`` and ``v_proj`` to ``qkv``.

    Raises:
        KeyError: If one of the three is missing.
    """
    joined = {}
    for key, value in state.items():
        if not (match := re.fullmatch(r'(.*\.)[qkv]_proj(\.\w+)', key)):
            joined[key] = value
            continue
        parts = [f'{match[1]}{part}_proj{match[2]}' for part in 'qkv']
        if missing := [part for part in parts if part not in state]:
            raise KeyError(f'missing: {", ".join(missing)}')
        joined[f'{match[1]}qkv{match[2]}'] = torch.cat([state[part] for part in parts])
    return joined


def mae_to_mmvidmae(state: Mapping[str, Tensor]) -> StateDict:
    """Convert a state dict with the names of MAE's code: also timm's, DINO's, and the encoders of CropMAE, RSP, ToBo
    and CatMAE.

    MAE's decoder becomes a :class:`JointPairDecoder` without frame identity embeddings.

    Raises:
        KeyError: If there are names that MAE's model does not have. The message lists them.
    """
    return _to_ours(state, _MAE)


def mmvidmae_to_mae(state: Mapping[str, Tensor]) -> StateDict:
    """Inverse of :func:`mae_to_mmvidmae`."""
    return _to_theirs(state, _MAE)


def dropmae_to_mmvidmae(state: Mapping[str, Tensor]) -> StateDict:
    """Convert a DropMAE state dict.

    The identity vectors ``x`` (earlier frame) and ``z`` (later frame) become the two rows of one tensor, and the unused
    class-token row of the position embeddings is dropped.

    Raises:
        KeyError: If there are names that DropMAE's model does not have. The message lists them.
    """
    state = _stack_identities(state)
    for name in ('pos_embed', 'decoder_pos_embed'):
        if name in state:
            state[name] = state[name][:, 1:]
    return _to_ours(state, _DROPMAE)


def mmvidmae_to_dropmae(state: Mapping[str, Tensor]) -> StateDict:
    """Inverse of :func:`dropmae_to_mmvidmae`."""
    state = _to_theirs(state, _DROPMAE)
    for name in ('temporal_pos_embed', 'decoder_temporal_pos_embed'):
        if name in state:
            state[f'{name}_x'], state[f'{name}_z'] = state.pop(name).unbind(1)
    for name in ('pos_embed', 'decoder_pos_embed'):
        if name in state:
            state[name] = torch.cat((torch.zeros_like(state[name][:, :1]), state[name]), dim=1)
    return state


def droptrack_to_mmvidmae(state: Mapping[str, Tensor]) -> StateDict:
    """Convert a DropTrack or OSTrack state dict, without its unused ``cls_token`` and ``pos_embed``.

    Without box head and template position embedding, the result is a plain encoder with the learned position embedding
    of the search region.

    Raises:
        KeyError: If there are names that the tracker does not have. The message lists them.
    """
    state = _stack_identities(_without_prefix(state, 'backbone.'))
    if 'pos_embed_z' in state:
        return _to_ours(state, _DROPTRACK)
    if 'pos_embed_x' in state:
        state['pos_embed'] = state.pop('pos_embed_x')
    return _to_ours(state, _DROPMAE)


def mmvidmae_to_droptrack(state: Mapping[str, Tensor]) -> StateDict:
    """Inverse of :func:`droptrack_to_mmvidmae` for whole trackers."""
    state = _to_theirs(state, _DROPTRACK)
    if 'temporal_pos_embed' in state:
        state['temporal_pos_embed_x'], state['temporal_pos_embed_z'] = state.pop('temporal_pos_embed').unbind(1)
    return {key if key.startswith('box_head.') else f'backbone.{key}': value for key, value in state.items()}


def dropseg_to_mmvidmae(state: Mapping[str, Tensor]) -> StateDict:
    """Convert a DropSeg state dict.

    The position embedding is that of a frame at the training size (``pos_embed_two_frame``), which the authors
    interpolated from ``pos_embed``. Without it and the other parts of the segmentor, the result is a plain encoder.

    Raises:
        KeyError: If there are names that the segmentor does not have. The message lists them.
    """
    state = _stack_identities(state)
    if 'pos_embed_two_frame' in state:
        patches = state.pop('pos_embed_two_frame')[:, 1:]
        state['pos_embed'] = patches[:, : patches.shape[1] // 2]
    elif 'pos_embed' in state:
        state['pos_embed'] = state['pos_embed'][:, 1:]
    return _to_ours(state, _DROPSEG)


def mmvidmae_to_dropseg(state: Mapping[str, Tensor]) -> StateDict:
    """Inverse of :func:`dropseg_to_mmvidmae` for whole segmentors, without their unused parameters."""
    state = _to_theirs(state, _DROPSEG)
    if 'temporal_pos_embed' in state:
        state['temporal_pos_embed_x'], state['temporal_pos_embed_z'] = state.pop('temporal_pos_embed').unbind(1)
    if 'pos_embed' in state:
        patches = state.pop('pos_embed')
        state['pos_embed_two_frame'] = torch.cat((torch.zeros_like(patches[:, :1]), patches, patches), dim=1)
    return state


def cropmae_to_mmvidmae(state: Mapping[str, Tensor]) -> StateDict:
    """Convert a state dict of CropMAE's SiamMAE (preset ``'cropmae'`` of :class:`CrossPairDecoder`).

    The packed query, key and value projection of its cross-attention becomes a query and a key-value projection.

    Raises:
        KeyError: Listing the names that the model does not have.
    """
    split = {}
    for key, value in state.items():
        key = re.sub(r'\.in_proj_(weight|bias)$', r'.in_proj.\1', key)
        if '.multihead_attn.in_proj.' in key:
            dims = len(value) // 3
            split[key.replace('in_proj', 'q')], split[key.replace('in_proj', 'kv')] = value.split((dims, 2 * dims))
        else:
            split[key] = value
    return _to_ours(split, _CROPMAE)


def mmvidmae_to_cropmae(state: Mapping[str, Tensor]) -> StateDict:
    """Inverse of :func:`cropmae_to_mmvidmae`."""
    packed = {}
    state = _to_theirs(state, _CROPMAE)
    for key, value in state.items():
        if '.multihead_attn.kv.' in key:
            continue
        if '.multihead_attn.q.' in key:
            value = torch.cat((value, state[key.replace('.q.', '.kv.')]))
            key = key.replace('.q.', '.in_proj.')
        packed[re.sub(r'\.in_proj\.(weight|bias)$', r'.in_proj_\1', key)] = value
    return packed


def dino_to_mmvidmae(state: Mapping[str, Tensor]) -> StateDict:
    """Convert the encoder of a DINO state dict: timm's names, in whole checkpoints under ``backbone.``.

    Raises:
        KeyError: Listing the names that the encoder does not have.
    """
    return _to_ours(_without_prefix(state, 'backbone.'), _ENCODER)


def timm_to_mmvidmae(state: Mapping[str, Tensor]) -> StateDict:
    """Convert a state dict of timm's ``VisionTransformer`` or of DINOv2's code.

    LayerScale is folded into the weights. The class token of a model whose position embedding has patches only
    (timm's ``no_embed_class``) gets a position of zeros.

    Raises:
        KeyError: Listing the names that our encoder does not have.
    """
    state = _without_prefix(state, 'backbone.')
    # DINOv2's training splits its layers into chunks: blocks.CHUNK.LAYER
    state = {re.sub(r'^blocks\.\d+\.(\d+\.)', r'blocks.\1', key): value for key, value in state.items()}
    state = _fold_layer_scale(state, {'ls1.gamma': 'attn.proj', 'ls2.gamma': 'mlp.fc2'})
    if 'cls_token' in state and 'pos_embed' in state and square_grid(state['pos_embed'].shape[1]):
        state['pos_embed'] = torch.cat((torch.zeros_like(state['pos_embed'][:, :1]), state['pos_embed']), dim=1)
    return _to_ours(state, _ENCODER)


def transformers_to_mmvidmae(state: Mapping[str, Tensor]) -> StateDict:
    """Convert a state dict of Hugging Face's ViT, ViTMAE or DINOv2, with or without the name of the model in front.

    Query, key and value are joined, and LayerScale is folded into the weights. ViTMAE's decoder becomes a
    :class:`JointPairDecoder` without frame identity embeddings.

    Raises:
        KeyError: Listing the names that our model does not have.
    """
    renamed = {}
    for key, value in state.items():
        key = re.sub(r'^(vit|dinov2|backbone|model)\.', '', key)
        for old, new in _TRANSFORMERS_4:
            key = re.sub(old, new, key)
        renamed[key] = value
    if len(renamed) < len(state):
        raise KeyError('some parameters occur twice, by the names of two versions of transformers')
    layer_scale = {'layer_scale1.lambda1': 'attention.o_proj', 'layer_scale2.lambda1': 'mlp.fc2'}
    return _to_ours(_join_qkv(_fold_layer_scale(renamed, layer_scale)), _TRANSFORMERS)


def mmvidmae_to_mmseg(state: Mapping[str, Tensor]) -> StateDict:
    """Convert an encoder to the state dict of mmseg's ``VisionTransformer`` itself (no ``backbone.`` in front, as its
    ``init_cfg`` wants it).

    That class always has a class token. For an encoder without one it gets zeros, which the class ignores when built
    with ``with_cls_token=False``.
    """
    converted = {}
    for key, value in state.items():
        key = key.removeprefix('backbone.')
        key = re.sub(r'\.attn\.qkv\.(weight|bias)$', r'.attn.attn.in_proj_\1', key)
        converted[re.sub(r'\.attn\.proj\.(weight|bias)$', r'.attn.attn.out_proj.\1', key)] = value
    if 'cls_token' not in converted:
        pos_embed = converted['pos_embed']
        converted['cls_token'] = torch.zeros_like(pos_embed[:, :1])
        converted['pos_embed'] = torch.cat((converted['cls_token'], pos_embed), dim=1)
    return converted


def rsp_block_to_mmvidmae(state: Mapping[str, Tensor]) -> StateDict:
    """Convert the state dict of one decoder block of RSP or ToBo to that of a :class:`CrossBlock`.

    Raises:
        KeyError: Listing the names that the block does not have.
    """
    return _to_ours(state, _RSP_BLOCK)


def mmvidmae_to_rsp_block(state: Mapping[str, Tensor]) -> StateDict:
    """Inverse of :func:`rsp_block_to_mmvidmae`."""
    return _to_theirs(state, _RSP_BLOCK)
