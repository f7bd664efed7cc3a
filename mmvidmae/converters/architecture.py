"""Architecture of a model, read from its state dict."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from mmvidmae.models.backbones import LinearAdapter, PairMAEViT, RecurrentViT, RegisterViT
from mmvidmae.models.heads import PrototypeHead
from mmvidmae.models.necks import CrossPairDecoder, JointPairDecoder, LatentCrossDecoder, StochasticToken
from mmvidmae.models.segmentors import DeconvPyramid, MaskDecoder, MemoryMAEViT
from mmvidmae.models.selfsup import EMATeacher
from mmvidmae.models.trackers import CenterHead, HistoricalPrompt, OneStreamViT, TwoStreamViT

REGISTERS = 'registers, LayerScale and mask token'


@dataclass(frozen=True)
class Architecture:
    """Sizes of a model with our names, read from its parameters.

    Attributes:
        embed_dims: Width D of the encoder.
        num_layers: Number of its layers.
        feedforward_channels: Hidden width of its feed-forward layers.
        patch_size: Patch side in pixels.
        in_channels: Channels of a frame.
        num_patches: Number of patches of the position embedding, or None if it is not a parameter.
        cls_token: Whether there is a class token.
        frame_embed: Whether there are frame identity embeddings.
        decoder: Kind of the decoder, or None without one: ``'mae'`` (joint self-attention), ``'dropmae'`` (with frame
            identities), ``'cropmae'`` (cross-self, post-norm), ``'cross-self'`` (pre-norm: SiamMAE, ToBo), ``'catmae'``
            (``'cropmae'`` with frame embeddings of the memory), ``'rsp'`` (``'cross-self'`` with a projection for each
            frame and a stochastic token), ``'rvm'`` (with an embedding of time offsets), ``'cross'`` (any other with
            cross-attention to a memory), ``'tracking'`` (DropTrack's head and two position embeddings instead of one),
            ``'segmentation'`` (DropSeg's mask embedding, pyramid and decoder), ``'tcore'`` (T-CoRe's head, and in whole
            models its decoder and teacher).
        shapes: Shapes of all parameters of such a model, by name.
        addition: What the encoder has in addition to a ViT: ``'adapter'`` (Co-Settle), ``'recurrent core'`` (RVM),
            :data:`REGISTERS` (T-CoRe), or None.
    """

    embed_dims: int
    num_layers: int
    feedforward_channels: int
    patch_size: int
    in_channels: int
    num_patches: int | None
    cls_token: bool
    frame_embed: bool
    decoder: str | None
    shapes: Mapping[str, tuple[int, ...]]
    addition: str | None = None

    def __str__(self) -> str:
        parts = (
            f'ViT {self.embed_dims} wide',
            f'{self.num_layers} layers',
            f'patch {self.patch_size}',
            'positions computed' if self.num_patches is None else f'{self.num_patches} patches',
            'class token' if self.cls_token else 'no class token',
            'frame identities' if self.frame_embed else 'no frame identities',
            f'{self.decoder or "no"} decoder',
            *([] if self.addition is None else [self.addition]),
        )
        return ', '.join(parts)


def infer_architecture(state: Mapping[str, Tensor]) -> Architecture:
    """Read the architecture of a model with our names (``backbone.*`` and perhaps ``neck.*``) from its parameters.

    The number of attention heads does not change the shapes of parameters, so it is unknown.

    Raises:
        ValueError: If a parameter that determines the architecture is missing or has an invalid shape.
    """
    if 'backbone.adapter.linear.weight' in state:
        return _with_adapter(state)
    dims, channels, patch_size, patch_width = _shape(state, 'backbone.patch_embed.projection.weight', 4)
    hidden, _ = _shape(state, 'backbone.layers.0.ffn.layers.0.0.weight', 2)
    num_layers = _count(state, 'backbone.layers')
    tracker = 'backbone.pos_embed_x' in state
    cls_token = 'backbone.cls_token' in state
    frame_embed = 'backbone.frame_embed' in state
    recurrent = 'backbone.core.ln_state.weight' in state
    num_patches = None
    if not recurrent:
        num_patches = _shape(state, f'backbone.pos_embed{"_x" if tracker else ""}', 3)[1] - int(cls_token)
    if dims % 4 or num_patches == 0 or patch_size != patch_width:
        raise ValueError(
            f'an encoder of width {dims} for {num_patches or "any number of"} patches of {patch_size} x {patch_width} '
            'pixels: the width must be divisible by 4, and there must be square patches'
        )
    # The shapes are the same for one row of patches and one head as for the true ones.
    arch = dict(embed_dims=dims, num_layers=num_layers, num_heads=1, feedforward_channels=hidden)
    size = (patch_size, patch_size * (num_patches or 1))
    options: dict[str, Any] = dict(in_channels=channels, qkv_bias='backbone.layers.0.attn.qkv.bias' in state)
    modules: dict[str, nn.Module]
    registers = None
    if 'backbone.mask_token' in state:
        tokens = 'backbone.register_tokens'
        registers = _shape(state, tokens, 3)[1] if tokens in state else 0
    with torch.device('meta'):
        if tracker:
            modules, kind = _tracker(state, arch, size, patch_size, frame_embed, options), 'tracking'
        elif 'backbone.mask_embed.weight' in state:
            modules, kind = _segmentor(state, arch, size, patch_size, frame_embed, options), 'segmentation'
        elif registers is not None:
            modules, kind = _distillation(state, arch, size, patch_size, registers, options)
        else:
            kinds: dict[str, Any] = dict(frame_embed=frame_embed, with_cls_token=cls_token)
            if recurrent:
                encoder = RecurrentViT(arch, size, patch_size, core=_core(state), **kinds, **options)
            else:
                encoder = PairMAEViT(arch, size, patch_size, **kinds, **options)
            decoder, kind = _decoder(state, encoder)
            if decoder and channels != 3:
                raise ValueError(f'an encoder of frames of {channels} channels, and decoders predict 3')
            modules = {'backbone': encoder, 'neck': decoder} if decoder else {'backbone': encoder}
            if decoder and 'stochastic.embed.weight' in state:  # the shapes give only variables * classes
                token_dims, classes = _shape(state, 'stochastic.embed.weight', 2)
                modules['stochastic'] = StochasticToken(dims, token_dims, num_variables=1, num_classes=classes)
    shapes = {
        f'{prefix}.{name}': tuple(value.shape)
        for prefix, module in modules.items()
        for name, value in module.state_dict().items()
    }
    addition = 'recurrent core' if recurrent else REGISTERS if registers is not None else None
    return Architecture(
        dims, num_layers, hidden, patch_size, channels, num_patches, cls_token, frame_embed, kind, shapes, addition
    )


def _with_adapter(state: Mapping[str, Tensor]) -> Architecture:
    """Architecture of an :class:`AdaptedViT`: the architecture of its encoder, and the adapter."""
    start = 'backbone.encoder.'
    encoder = infer_architecture(
        {key.replace(start, 'backbone.', 1): value for key, value in state.items() if key.startswith(start)}
    )
    with torch.device('meta'):
        adapter = LinearAdapter(encoder.embed_dims).state_dict()
    shapes = {key.replace('backbone.', start, 1): shape for key, shape in encoder.shapes.items()}
    shapes |= {f'backbone.adapter.{key}': tuple(value.shape) for key, value in adapter.items()}
    return replace(encoder, shapes=shapes, addition='adapter')


def _core(state: Mapping[str, Tensor]) -> dict:
    hidden, _ = _shape(state, 'backbone.core.blocks.0.ffn.layers.0.0.weight', 2)
    return dict(depth=_count(state, 'backbone.core.blocks'), num_heads=1, feedforward_channels=hidden)


def _tracker(
    state: Mapping[str, Tensor],
    arch: dict,
    search_size: tuple[int, int],
    patch_size: int,
    frame_embed: bool,
    options: dict,
) -> dict[str, nn.Module]:
    template_size = (patch_size, patch_size * _shape(state, 'backbone.pos_embed_z', 3)[1])
    channels = _shape(state, 'head.score.0.conv.weight', 4)[0]
    sizes = (template_size, search_size, patch_size, frame_embed, (), ())
    if any(name.startswith('backbone.adapters.') for name in state):
        adapter_dims, _ = _shape(state, 'backbone.adapters.0.attn.down.weight', 2)
        encoder = TwoStreamViT(arch, *sizes, adapter_dims=adapter_dims, **options)
    else:
        encoder = OneStreamViT(arch, *sizes, **options)
    modules: dict[str, nn.Module] = {'backbone': encoder, 'head': CenterHead(arch['embed_dims'], channels)}
    if any(name.startswith('prompt.') for name in state):
        key_dims = _shape(state, 'prompt.key.weight', 4)[0]
        base_channels = _shape(state, 'prompt.memory_encoder.resnet.conv1.weight', 4)[0]
        modules['prompt'] = HistoricalPrompt(arch['embed_dims'], key_dims, base_channels)
    return modules


def _segmentor(
    state: Mapping[str, Tensor], arch: dict, size: tuple[int, int], patch_size: int, frame_embed: bool, options: dict
) -> dict[str, nn.Module]:
    channels = [_shape(state, f'decode_head.skips.{i}.weight', 4)[0] for i in range(2)]
    return {
        'backbone': MemoryMAEViT(arch, size, patch_size, frame_embed, **options),
        'neck': DeconvPyramid(arch['embed_dims'], channels),
        'decode_head': MaskDecoder(arch['embed_dims'], channels),
    }


def _distillation(
    state: Mapping[str, Tensor], arch: dict, size: tuple[int, int], patch_size: int, registers: int, options: dict
) -> tuple[dict[str, nn.Module], str | None]:
    encoder = RegisterViT(arch, size, patch_size, registers, **options)
    modules: dict[str, nn.Module] = {'backbone': encoder}
    if 'head.last_layer.weight_v' not in state:
        return modules, None
    prototypes, bottleneck = _shape(state, 'head.last_layer.weight_v', 2)
    num_fcs = 1 + (_count(state, 'head.mlp') - 1) // 2
    hidden = _shape(state, 'head.mlp.0.weight', 2)[0]
    modules['head'] = PrototypeHead(encoder.embed_dims, prototypes, hidden, bottleneck, num_fcs)
    if any(name.startswith('neck.') for name in state):
        modules['neck'] = LatentCrossDecoder(encoder.embed_dims, _count(state, 'neck.decoder_blocks'), 1)
    if any(name.startswith('teacher.') for name in state):
        modules['teacher'] = EMATeacher(encoder, modules['head'])
    return modules, 'tcore'


def _decoder(state: Mapping[str, Tensor], encoder: PairMAEViT) -> tuple[nn.Module | None, str | None]:
    if not any(name.startswith('neck.') for name in state):
        return None, None
    block = 'neck.decoder_blocks.0.'
    by_frame = 'neck.decoder_embed.0.weight' in state
    dims, _ = _shape(state, f'neck.decoder_embed{".0" if by_frame else ""}.weight', 2)
    hidden, _ = _shape(state, f'{block}ffn.layers.0.0.weight', 2)
    if dims % 4:
        raise ValueError(f'a decoder of width {dims}: it must be divisible by 4')
    shared = dict(
        embed_dims=encoder.embed_dims,
        grid=encoder.patch_resolution,
        patch_size=encoder.patch_size,
        with_cls_token=encoder.with_cls_token,
        decoder_dims=dims,
        depth=_count(state, 'neck.decoder_blocks'),
        num_heads=1,
    )
    if f'{block}attn.qkv.weight' in state:
        frame_embed = 'neck.frame_embed' in state
        # The decoder rounds ratio * width down to an integer.
        decoder = JointPairDecoder(**shared, mlp_ratio=(hidden + 0.5) / dims, frame_embed=frame_embed)
        return decoder, 'dropmae' if frame_embed else 'mae'
    reads, mixes = (f'{block}{part}.weight' in state for part in ('cross_attn.q', 'self_attn.qkv'))
    if not (reads or mixes):
        raise ValueError(f'missing: {block}attn.qkv.weight')
    order = ('cross',) * reads + ('self',) * mixes + ('ffn',)
    if (
        isinstance(encoder, RecurrentViT) and 'neck.decoder_pos_embed' not in state
    ):  # RVM's positions are not parameters
        knows_offset = 'neck.offset_embed.weight' in state
        offsets = _shape(state, 'neck.offset_embed.weight', 2)[1] if knows_offset else 0
        flat: dict[str, Any] = dict(norm_memory=False, flat_pos_embed=True, num_offsets=offsets)
        decoder = CrossPairDecoder(**shared, feedforward_channels=hidden, order=order, **flat)
        return decoder, 'rvm' if knows_offset else 'cross'
    norm_first = f'{block}ln_memory.weight' in state
    options: dict[str, Any] = dict(feedforward_channels=hidden, order=order, norm_first=norm_first)
    if by_frame:
        options.update(frame_projections=True, num_frames=_count(state, 'neck.decoder_embed'))
    if marked := 'neck.memory_frame_embed' in state:
        frames = _shape(state, 'neck.memory_frame_embed', 4)[1]
        options.update(
            memory_frame_embed=True, num_frames=frames + 1, branches=[dict(targets=(frames,), memory=range(frames))]
        )
    decoder = CrossPairDecoder(**shared, **options)
    kinds = {
        (False, False, False): 'cross-self' if norm_first else 'cropmae',
        (False, True, False): 'cross' if norm_first else 'catmae',
        (True, False, True): 'rsp' if norm_first else 'cross',
    }
    extras = (by_frame, marked, 'stochastic.embed.weight' in state)
    return decoder, kinds.get(extras, 'cross') if reads and mixes else 'cross'


def _shape(state: Mapping[str, Tensor], name: str, ndim: int) -> tuple[int, ...]:
    if name not in state:
        raise ValueError(f'missing: {name}')
    shape = tuple(state[name].shape)
    if len(shape) != ndim or 0 in shape:
        raise ValueError(f'{name} has the shape {shape}, but {ndim} dimensions are expected')
    return shape


def _count(state: Mapping[str, Tensor], prefix: str) -> int:
    """One more than the largest number after ``prefix.``; a hostile number is bounded by the parameters there are."""
    numbers = [int(match[1]) for name in state if (match := re.match(rf'{re.escape(prefix)}\.(\d{{1,6}})\.', name))]
    return min(max(numbers, default=0) + 1, len(state))
