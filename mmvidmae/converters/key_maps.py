"""Conversion of state dicts between the authors' implementations and this package, in both directions.

Each format has a table of pairs (their name, our name). ``#`` in a name stands for the number of a layer. The functions
``<format>_to_mmvidmae`` and ``mmvidmae_to_<format>`` rename the parameters by the table. They also split, join or
reshape tensors where the implementations differ. Dicts of gradients can be converted in the same way.
"""

import re
from collections.abc import Mapping, Sequence

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
_CATMAE = (*_CROPMAE, ('decoder_frame_info', 'neck.memory_frame_embed'))
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
_HIP_ENCODER = 'prompt.memory_encoder'
_HIPTRACK = (
    *_DROPTRACK,
    *((f'HIP.encoder.{name}', f'{_HIP_ENCODER}.resnet.{name}') for name in ('conv1', 'bn1')),
    *(
        (f'HIP.encoder.layer{i}.{j}.{name}', f'{_HIP_ENCODER}.resnet.layer{i}.{j}.{name}')
        for i in (1, 2, 3)
        for j in (0, 1)
        for name in ('conv1', 'bn1', 'conv2', 'bn2', 'downsample.0', 'downsample.1')
    ),
    *(
        (f'HIP.encoder.fuser.{block}.{theirs}', f'{_HIP_ENCODER}.{block}.{ours}')
        for block in ('block1', 'block2')
        for theirs, ours in (('conv1', 'conv1'), ('conv2', 'conv2'), ('downsample', 'shortcut'))
    ),
    ('HIP.encoder.fuser.attention.ChannelGate.mlp.1', f'{_HIP_ENCODER}.attention.channel_gate.0'),
    ('HIP.encoder.fuser.attention.ChannelGate.mlp.3', f'{_HIP_ENCODER}.attention.channel_gate.2'),
    ('HIP.encoder.fuser.attention.SpatialGate.spatial.conv', f'{_HIP_ENCODER}.attention.spatial_gate'),
    ('key_proj.key_proj', 'prompt.key'),
    ('key_comp', 'prompt.query_value'),
    ('searchRegionFusion.conv1', 'prompt.fusion.conv1'),
    ('searchRegionFusion.conv2', 'prompt.fusion.conv2'),
)
_BAT = (
    *_DROPTRACK,
    *(
        (f'blocks.#.{theirs}.adapter_{part}', f'backbone.adapters.#.{ours}.{part}')
        for theirs, ours in (('adap_t', 'attn'), ('adap2_t', 'ffn'))
        for part in ('down', 'mid', 'up')
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
_RSP = (
    *_ENCODER,
    *_DECODER[1:],
    ('decoder_embed_deter', 'neck.decoder_embed.0'),
    ('decoder_embed_mae', 'neck.decoder_embed.1'),
    ('decoder_embed_stoch', 'stochastic.embed'),
    *((f'to_{name}.{layer}', f'stochastic.{name}.{layer}') for name in ('posterior', 'prior') for layer in (0, 2)),
    *((f'decoder_blocks.#.{theirs}', f'neck.decoder_blocks.#.{ours}') for theirs, ours in _RSP_BLOCK),
)
_TOBO = (
    *_ENCODER,
    ('decoder_embed_mae', 'neck.decoder_embed'),
    *_DECODER[1:],
    *((f'decoder_blocks.#.{theirs}', f'neck.decoder_blocks.#.{ours}') for theirs, ours in _RSP_BLOCK),
)

_TCORE_ENCODER = (
    *((f'backbone.{theirs}', ours) for theirs, ours in _ENCODER),
    ('backbone.register_tokens', 'backbone.register_tokens'),
    ('backbone.mask_token', 'backbone.mask_token'),
    ('backbone.blocks.#.ls1.gamma', 'backbone.layers.#.attn.gamma1.weight'),
    ('backbone.blocks.#.ls2.gamma', 'backbone.layers.#.ffn.gamma2.weight'),
    ('dino_head.mlp.#', 'head.mlp.#'),
    ('dino_head.last_layer.weight_g', 'head.last_layer.weight_g'),
    ('dino_head.last_layer.weight_v', 'head.last_layer.weight_v'),
)
_TCORE_BLOCK = (
    ('multihead_attn.q', 'cross_attn.q'),
    ('multihead_attn.kv', 'cross_attn.kv'),
    ('multihead_attn.out_proj', 'cross_attn.proj'),
    ('auxiliary_layer_norm1', 'ln_cross'),
    ('auxiliary_self_attn.in_proj', 'self_attn.qkv'),
    ('auxiliary_self_attn.out_proj', 'self_attn.proj'),
    ('auxiliary_layer_norm2', 'ln_self'),
    ('auxiliary_linear', 'ffn.0'),
    ('auxiliary_layer_norm3', 'ln_ffn'),
)
_TCORE = (
    *((f'student.{theirs}', ours) for theirs, ours in _TCORE_ENCODER),
    *((f'teacher.{theirs}', f'teacher.{ours}') for theirs, ours in _TCORE_ENCODER),
    *(
        (f'auxiliary.auxiliary_decoder.decoder.#.{theirs}', f'neck.decoder_blocks.#.{ours}')
        for theirs, ours in _TCORE_BLOCK
    ),
    ('centers', 'teacher.centers'),
)

_TRANSFORMERS_4 = (
    (r'(^|\.)encoder\.layer\.', r'\1layers.'),
    (r'\.attention\.attention\.(q|k|v)(uery|ey|alue)\.', r'.attention.\1_proj.'),
    (r'\.attention\.output\.dense\.', '.attention.o_proj.'),
    (r'\.intermediate\.dense\.', '.mlp.fc1.'),
    (r'\.output\.dense\.', '.mlp.fc2.'),
)
"""Patterns that turn names of transformers 4, which files on Hugging Face have, into those of transformers 5."""

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
    """Rename keys by pairs (old name, new name). ``#`` is a layer number. Suffixes such as ``.weight`` are kept.

    Raises:
        KeyError: If a key matches no pair. The message lists all such keys.
    """
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
    """Stack DropMAE's frame identity embeddings ``x`` and ``z`` to one tensor with a row for each frame."""
    state = dict(state)
    for name in ('temporal_pos_embed', 'decoder_temporal_pos_embed'):
        if f'{name}_x' in state and f'{name}_z' in state:
            state[name] = torch.stack((state.pop(f'{name}_x'), state.pop(f'{name}_z')), dim=1)
    return state


def _split_packed(state: Mapping[str, Tensor]) -> StateDict:
    """Split the packed projection of each cross-attention into a query projection and a key-value projection.

    ``torch.nn.MultiheadAttention`` packs query, key and value as ``in_proj_weight`` and ``in_proj_bias``.
    """
    split = {}
    for key, value in state.items():
        key = re.sub(r'\.in_proj_(weight|bias)$', r'.in_proj.\1', key)
        if '.multihead_attn.in_proj.' in key:
            dims = len(value) // 3
            split[key.replace('in_proj', 'q')], split[key.replace('in_proj', 'kv')] = value.split((dims, 2 * dims))
        else:
            split[key] = value
    return split


def _pack(state: Mapping[str, Tensor]) -> StateDict:
    """Inverse of :func:`_split_packed`."""
    packed = {}
    for key, value in state.items():
        if '.multihead_attn.kv.' in key:
            continue
        if '.multihead_attn.q.' in key:
            value = torch.cat((value, state[key.replace('.q.', '.kv.')]))
            key = key.replace('.q.', '.in_proj.')
        packed[re.sub(r'\.in_proj\.(weight|bias)$', r'.in_proj_\1', key)] = value
    return packed


def _fold_layer_scale(state: Mapping[str, Tensor], folded: Mapping[str, str]) -> StateDict:
    """Multiply the last linear layer of each residual branch by its LayerScale. Half precision becomes float32.

    Args:
        state: Parameters by name.
        folded: For each LayerScale, the name of the linear layer that it scales. Names are relative to the block, such
            as ``{'ls1.gamma': 'attn.proj'}``.

    Raises:
        KeyError: If the linear layer of a LayerScale is missing.
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
    """Concatenate the projections ``q_proj``, ``k_proj`` and ``v_proj`` to ``qkv``.

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
    """Convert a state dict with the names of MAE's code.

    timm, DINO and the encoders of CropMAE, RSP, ToBo and CatMAE have the same names. MAE's decoder becomes a
    :class:`JointPairDecoder` without frame identity embeddings.

    Raises:
        KeyError: If there are names that MAE's model does not have. The message lists them.
    """
    return _to_ours(state, _MAE)


def mmvidmae_to_mae(state: Mapping[str, Tensor]) -> StateDict:
    """Inverse of :func:`mae_to_mmvidmae`."""
    return _to_theirs(state, _MAE)


def dropmae_to_mmvidmae(state: Mapping[str, Tensor]) -> StateDict:
    """Convert a DropMAE state dict.

    The frame identity embeddings ``x`` (earlier frame) and ``z`` (later frame) become the two rows of one tensor. The
    row of the position embeddings for a class token, which DropMAE does not have, is dropped.

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
    """Convert a DropTrack or OSTrack state dict, from which the unused ``cls_token`` and ``pos_embed`` were removed.

    If it has no position embedding of the template (``pos_embed_z``), the result is a plain encoder. Its position
    embedding is the learned one of the search region (``pos_embed_x``).

    Raises:
        KeyError: If there are names that the tracker does not have. The message lists them.
    """
    return _tracker_to_mmvidmae(state, _DROPTRACK)


def mmvidmae_to_droptrack(state: Mapping[str, Tensor]) -> StateDict:
    """Inverse of :func:`droptrack_to_mmvidmae` for whole trackers."""
    return _mmvidmae_to_tracker(state, _DROPTRACK)


def _tracker_to_mmvidmae(state: Mapping[str, Tensor], table: tuple[tuple[str, str], ...]) -> StateDict:
    state = _stack_identities(_without_prefix(state, 'backbone.'))
    if 'pos_embed_z' in state:
        return _to_ours(state, table)
    if 'pos_embed_x' in state:
        state['pos_embed'] = state.pop('pos_embed_x')
    return _to_ours(state, _DROPMAE)


def _mmvidmae_to_tracker(state: Mapping[str, Tensor], table: tuple[tuple[str, str], ...]) -> StateDict:
    inside = _to_theirs({key: value for key, value in state.items() if key.startswith('backbone.')}, table)
    outside = _to_theirs({key: value for key, value in state.items() if not key.startswith('backbone.')}, table)
    if 'temporal_pos_embed' in inside:
        inside['temporal_pos_embed_x'], inside['temporal_pos_embed_z'] = inside.pop('temporal_pos_embed').unbind(1)
    return {f'backbone.{key}': value for key, value in inside.items()} | outside


def hiptrack_to_mmvidmae(state: Mapping[str, Tensor]) -> StateDict:
    """Convert a HIPTrack state dict, from which the unused ``cls_token`` and ``pos_embed`` were removed.

    An encoder alone is converted as by :func:`droptrack_to_mmvidmae`.
    """
    return _tracker_to_mmvidmae(state, _HIPTRACK)


def mmvidmae_to_hiptrack(state: Mapping[str, Tensor]) -> StateDict:
    """Inverse of :func:`hiptrack_to_mmvidmae` for whole trackers or parts of them."""
    return _mmvidmae_to_tracker(state, _HIPTRACK)


def bat_to_mmvidmae(state: Mapping[str, Tensor]) -> StateDict:
    """Convert a BAT state dict, from which the unused ``cls_token`` and ``pos_embed`` were removed.

    An encoder alone is converted as by :func:`droptrack_to_mmvidmae`.
    """
    return _tracker_to_mmvidmae(state, _BAT)


def mmvidmae_to_bat(state: Mapping[str, Tensor]) -> StateDict:
    """Inverse of :func:`bat_to_mmvidmae` for whole trackers or parts of them."""
    return _mmvidmae_to_tracker(state, _BAT)


def dropseg_to_mmvidmae(state: Mapping[str, Tensor]) -> StateDict:
    """Convert a DropSeg state dict.

    The position embedding of the result is that of one frame at the training size (``pos_embed_two_frame``), which the
    authors interpolated from ``pos_embed``. A state dict with an encoder only becomes a plain encoder with
    ``pos_embed``.

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
    """Inverse of :func:`dropseg_to_mmvidmae` for whole segmentors. Unused parameters are not restored."""
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
        KeyError: If there are names that the model does not have. The message lists them.
    """
    return _to_ours(_split_packed(state), _CROPMAE)


def mmvidmae_to_cropmae(state: Mapping[str, Tensor]) -> StateDict:
    """Inverse of :func:`cropmae_to_mmvidmae`."""
    return _pack(_to_theirs(state, _CROPMAE))


def dino_to_mmvidmae(state: Mapping[str, Tensor]) -> StateDict:
    """Convert the encoder of a DINO state dict. It has timm's names, with or without the prefix ``backbone.``.

    Raises:
        KeyError: If there are names that the encoder does not have. The message lists them.
    """
    return _to_ours(_without_prefix(state, 'backbone.'), _ENCODER)


def timm_to_mmvidmae(state: Mapping[str, Tensor]) -> StateDict:
    """Convert a state dict of timm's ``VisionTransformer`` or of DINOv2's code.

    LayerScale is folded into the weights. If the position embedding has no row for the class token (timm's
    ``no_embed_class``), a row of zeros is added.

    Raises:
        KeyError: If there are names that our encoder does not have. The message lists them.
    """
    state = _without_prefix(state, 'backbone.')
    # DINOv2's training splits its layers into chunks: blocks.CHUNK.LAYER
    state = {re.sub(r'^blocks\.\d+\.(\d+\.)', r'blocks.\1', key): value for key, value in state.items()}
    state = _fold_layer_scale(state, {'ls1.gamma': 'attn.proj', 'ls2.gamma': 'mlp.fc2'})
    if 'cls_token' in state and 'pos_embed' in state and square_grid(state['pos_embed'].shape[1]):
        state['pos_embed'] = torch.cat((torch.zeros_like(state['pos_embed'][:, :1]), state['pos_embed']), dim=1)
    return _to_ours(state, _ENCODER)


def transformers_to_mmvidmae(state: Mapping[str, Tensor]) -> StateDict:
    """Convert a state dict of Hugging Face's ViT, ViTMAE or DINOv2, with or without the name of the model as prefix.

    Query, key and value are joined, and LayerScale is folded into the weights. ViTMAE's decoder becomes a
    :class:`JointPairDecoder` without frame identity embeddings.

    Raises:
        KeyError: If there are names that our model does not have. The message lists them.
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
    """Convert an encoder to the names of mmseg's ``VisionTransformer``, without the prefix ``backbone.``.

    mmseg's class always has a class token. For an encoder without one, the token and its position are zeros. The class
    ignores them when built with ``with_cls_token=False``.
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
        KeyError: If there are names that the block does not have. The message lists them.
    """
    return _to_ours(state, _RSP_BLOCK)


def mmvidmae_to_rsp_block(state: Mapping[str, Tensor]) -> StateDict:
    """Inverse of :func:`rsp_block_to_mmvidmae`."""
    return _to_theirs(state, _RSP_BLOCK)


def catmae_to_mmvidmae(state: Mapping[str, Tensor]) -> StateDict:
    """Convert a CatMAE state dict.

    The decoder is that of CropMAE, with frame embeddings ``(2, 1, 1, D)`` for the memory.

    Raises:
        KeyError: If there are names that the model does not have. The message lists them.
    """
    state = _split_packed(state)
    if 'decoder_frame_info' in state:
        state['decoder_frame_info'] = state['decoder_frame_info'].transpose(0, 1)
    return _to_ours(state, _CATMAE)


def mmvidmae_to_catmae(state: Mapping[str, Tensor]) -> StateDict:
    """Inverse of :func:`catmae_to_mmvidmae`."""
    state = _pack(_to_theirs(state, _CATMAE))
    if 'decoder_frame_info' in state:
        state['decoder_frame_info'] = state['decoder_frame_info'].transpose(0, 1)
    return state


def rsp_to_mmvidmae(state: Mapping[str, Tensor]) -> StateDict:
    """Convert an RSP state dict, with its stochastic part.

    Raises:
        KeyError: If there are names that the model does not have. The message lists them.
    """
    return _to_ours(state, _RSP)


def mmvidmae_to_rsp(state: Mapping[str, Tensor]) -> StateDict:
    """Inverse of :func:`rsp_to_mmvidmae`."""
    return _to_theirs(state, _RSP)


def tobo_to_mmvidmae(state: Mapping[str, Tensor]) -> StateDict:
    """Convert a ToBo state dict.

    Raises:
        KeyError: If there are names that the model does not have. The message lists them.
    """
    return _to_ours(state, _TOBO)


def mmvidmae_to_tobo(state: Mapping[str, Tensor]) -> StateDict:
    """Inverse of :func:`tobo_to_mmvidmae`."""
    return _to_theirs(state, _TOBO)


def tcore_to_mmvidmae(state: Mapping[str, Tensor]) -> StateDict:
    """Convert a state dict of T-CoRe, in one of three forms:

    - the whole model: ``student.*``, ``teacher.*``, ``auxiliary.*`` and both centers;
    - one network: ``backbone.*``, with or without ``dino_head.*``;
    - the teacher alone (``teacher.*``), as T-CoRe's evaluation loads it. It is converted as one network.

    Raises:
        KeyError: If there are names that the model does not have. The message lists them.
    """
    networks = {key.partition('.')[0] for key in state}
    if 'student' not in networks:
        return _to_ours(
            _with_mask_token({key.removeprefix('teacher.'): value for key, value in state.items()}, 1), _TCORE_ENCODER
        )
    state = _with_mask_token(state, 1)
    centers = [state.pop(key) for key in _TCORE_CENTERS if key in state]
    if len(centers) == 2:
        state['centers'] = torch.cat([center.flatten(0, -2) for center in centers])
    state = {key.replace('auxiliary_cross_attn', 'multihead_attn'): value for key, value in state.items()}
    return _to_ours(_split_packed(state), _TCORE)


def mmvidmae_to_tcore(state: Mapping[str, Tensor]) -> StateDict:
    """Inverse of :func:`tcore_to_mmvidmae`. An encoder alone becomes ``backbone.*``."""
    if not any(key.startswith('teacher.') or key.startswith('neck.') for key in state):
        return _with_mask_token(_to_theirs(state, _TCORE_ENCODER), -1)
    state = _pack(_to_theirs(state, _TCORE))
    state = {key.replace('multihead_attn', 'auxiliary_cross_attn'): value for key, value in state.items()}
    if 'centers' in state:
        cls_center, patch_center = state.pop('centers').split(1)
        state.update(zip(_TCORE_CENTERS, (cls_center, patch_center[None])))
    return _with_mask_token(state, -1)


def encoder_of_teacher(state: Mapping[str, Tensor]) -> StateDict:
    """Remove the prefix ``teacher.`` if the state dict has no other encoder. A whole model stays as it is."""
    if any(key.startswith('backbone.') for key in state):
        return dict(state)
    return {key.removeprefix('teacher.'): value for key, value in state.items()}


_TCORE_CENTERS = ('dino_loss.center', 'ibot_patch_loss.center')


def _with_mask_token(state: Mapping[str, Tensor], dims: int) -> StateDict:
    """Add (``dims=1``) or remove (``dims=-1``) the first dimension of encoders' mask tokens: ``(1, D)`` in T-CoRe."""
    return {
        key: (value[None] if dims > 0 else value[0]) if key.endswith('backbone.mask_token') else value
        for key, value in state.items()
    }


_ADAPTER = (
    ('adapter.adapter.adapter_linear', 'backbone.adapter.linear'),
    ('adapter.adapter.adapter_layer_norm1', 'backbone.adapter.ln'),
)


def cosettle_to_mmvidmae(state: Mapping[str, Tensor]) -> StateDict:
    """Convert a Co-Settle state dict, whose encoder has the names of MAE's code.

    The result is an :class:`AdaptedViT`: encoder and adapter. Without an adapter, it is a plain encoder.

    Raises:
        KeyError: If there are names that the model does not have. The message lists them.
    """
    if not any(key.startswith('adapter.') for key in state):
        return _to_ours(state, _ENCODER)
    renamed = _to_ours(state, (*_ENCODER, *_ADAPTER))
    adapter = 'backbone.adapter.'
    return {
        key if key.startswith(adapter) else key.replace('backbone.', 'backbone.encoder.', 1): value
        for key, value in renamed.items()
    }


def mmvidmae_to_cosettle(state: Mapping[str, Tensor]) -> StateDict:
    """Inverse of :func:`cosettle_to_mmvidmae`."""
    state = {key.replace('backbone.encoder.', 'backbone.', 1): value for key, value in state.items()}
    return _to_theirs(state, (*_ENCODER, *_ADAPTER))


_RVM_MLP = (('mlp_norm', 'ln{ffn}'), ('mlp.dense_in', 'ffn.layers.0.0'), ('mlp.dense_out', 'ffn.layers.1'))
_RVM_LAYER = (
    ('attention_norm', 'ln1'),
    ('attention.qkv', 'attn.qkv'),
    ('attention.out', 'attn.proj'),
    *((theirs, ours.format(ffn='2')) for theirs, ours in _RVM_MLP),
)
_RVM_BLOCK = (
    ('ca_attention_norm', 'ln_cross'),
    ('ca_attention.query', 'cross_attn.q'),
    ('ca_attention.kv', 'cross_attn.kv'),
    ('ca_attention.out', 'cross_attn.proj'),
    ('attention_norm', 'ln_self'),
    ('attention.qkv', 'self_attn.qkv'),
    ('attention.out', 'self_attn.proj'),
    *((theirs, ours.format(ffn='_ffn')) for theirs, ours in _RVM_MLP),
)
_RVM = (
    ('cls_token', 'backbone.cls_token'),
    ('tokenizer.patch_embedding.Conv_0', 'backbone.patch_embed.projection'),
    *((f'encoder.layers_#.{theirs}', f'backbone.layers.#.{ours}') for theirs, ours in _RVM_LAYER),
    ('encoder.LayerNorm_0', 'backbone.ln1'),
    *(
        (f'rnn_core.{source}_{gate}', f'backbone.core.{source}_{gate}')
        for source in ('input', 'state')
        for gate in ('update', 'reset')
    ),
    ('rnn_core.state_layer_norm', 'backbone.core.ln_state'),
    *((f'rnn_core.transformer.xa_blocks_#.{theirs}', f'backbone.core.blocks.#.{ours}') for theirs, ours in _RVM_BLOCK),
    ('rnn_core.transformer.output_norm', 'backbone.core.ln1'),
    ('mask_token', 'neck.mask_token'),
    ('decoder_embedder', 'neck.decoder_embed'),
    ('delta_embedder', 'neck.offset_embed'),
    *((f'decoder.xa_blocks_#.{theirs}', f'neck.decoder_blocks.#.{ours}') for theirs, ours in _RVM_BLOCK),
    ('decoder.output_norm', 'neck.ln1'),
    ('detokenizer.Dense_0', 'neck.decoder_pred'),
)
_RVM_JOINT = {'ca_attention.kv': ('key', 'value'), 'attention.qkv': ('query', 'key', 'value')}
_RVM_HEADS = {384: 6, 512: 16, 768: 12, 1024: 16, 1280: 16}
"""Number of attention heads by width: ViT-S, decoder, ViT-B, ViT-L, ViT-H."""


def rvm_to_mmvidmae(state: Mapping[str, Tensor]) -> StateDict:
    """Convert the parameters of RVM: the encoder with its recurrent core, with or without the decoder.

    Names are Flax paths with ``/``. Kernels are transposed, attention heads are flattened, and the query, key and value
    projections are joined.

    Raises:
        KeyError: If there are names that the model does not have. The message lists them.
    """
    flat = {}
    for key, value in state.items():
        *path, leaf = key.split('/')
        if leaf in ('cls_token', 'mask_token'):
            value = value[None]
        elif leaf == 'bias':
            value = value.flatten()
        elif leaf == 'kernel' and path[-1] == 'Conv_0':
            value = value.squeeze(0).permute(3, 2, 0, 1)
        elif leaf == 'kernel':
            value = (value.flatten(0, -2) if path[-1] == 'out' else value.flatten(1)).T
        flat['.'.join((*path, 'weight' if leaf in ('kernel', 'scale') else leaf))] = value
    for key in [key for key in flat if re.search(r'attention\.key\.', key)]:
        kind = 'ca_attention.kv' if '.ca_attention.' in key else 'attention.qkv'
        module, parts = kind.split('.')[0], _RVM_JOINT[kind]
        names = [key.replace(f'{module}.key', f'{module}.{part}') for part in parts]
        if missing := [name for name in names if name not in flat]:
            raise KeyError(f'{key} is there without {", ".join(missing)}')
        flat[key.replace(f'{module}.key', kind)] = torch.cat([flat.pop(name) for name in names])
    return _to_ours(flat, _RVM)


def mmvidmae_to_rvm(state: Mapping[str, Tensor], heads: Mapping[str, int] | None = None) -> StateDict:
    """Inverse of :func:`rvm_to_mmvidmae`.

    Args:
        state: Parameters with our names.
        heads: Number of attention heads of ``encoder``, ``rnn_core`` and ``decoder``. Flax arrays have a dimension for
            heads, our tensors do not. Default: the numbers of the released models, by width.

    Raises:
        KeyError: If there are names that RVM does not have, or if the number of heads for a width is not known.
    """
    converted = {}
    for key, value in _to_theirs(state, _RVM).items():
        *path, leaf = key.split('.')
        if leaf in ('cls_token', 'mask_token'):
            converted[key] = value[0]
        elif path[-1] in ('qkv', 'kv'):
            parts = _RVM_JOINT[f'{path[-2]}.{path[-1]}']
            for part, chunk in zip(parts, value.chunk(len(parts))):
                converted.update(_to_flax((*path[:-1], part), leaf, chunk, heads))
        else:
            converted.update(_to_flax(path, leaf, value, heads))
    return converted


def _to_flax(path: Sequence[str], leaf: str, value: Tensor, heads: Mapping[str, int] | None) -> StateDict:
    """Convert one parameter to Flax's layout and name."""
    name = '/'.join(path)
    if len(path) > 1 and path[-2].endswith('attention'):
        width = value.shape[-1] if path[-1] == 'out' else value.shape[0]
        if heads is None and width not in _RVM_HEADS:
            raise KeyError(f'the number of attention heads of a width of {width} is not known: give it (heads)')
        split = (heads[path[0]] if heads else _RVM_HEADS[width], -1)
        if leaf == 'weight':
            value = value.T.unflatten(0, split) if path[-1] == 'out' else value.T.unflatten(1, split)
        elif path[-1] != 'out':
            value = value.unflatten(0, split)
    elif value.ndim == 4:
        value = value.permute(2, 3, 1, 0)[None]
    elif value.ndim == 2:
        value = value.T
    leaf = leaf if leaf == 'bias' else 'scale' if 'orm' in path[-1] else 'kernel'
    return {f'{name}/{leaf}': value}
