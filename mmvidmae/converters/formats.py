"""Formats of weights that can be read and written. Each conversion goes through our own names."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from torch import Tensor

from .architecture import REGISTERS
from .key_maps import (
    StateDict,
    bat_to_mmvidmae,
    catmae_to_mmvidmae,
    cosettle_to_mmvidmae,
    cropmae_to_mmvidmae,
    dino_to_mmvidmae,
    dropmae_to_mmvidmae,
    dropseg_to_mmvidmae,
    droptrack_to_mmvidmae,
    encoder_of_teacher,
    hiptrack_to_mmvidmae,
    mae_to_mmvidmae,
    mmvidmae_to_catmae,
    mmvidmae_to_cosettle,
    mmvidmae_to_cropmae,
    mmvidmae_to_dropmae,
    mmvidmae_to_mae,
    mmvidmae_to_mmseg,
    mmvidmae_to_rsp,
    mmvidmae_to_rvm,
    mmvidmae_to_tcore,
    mmvidmae_to_tobo,
    rsp_to_mmvidmae,
    rvm_to_mmvidmae,
    tcore_to_mmvidmae,
    timm_to_mmvidmae,
    tobo_to_mmvidmae,
    transformers_to_mmvidmae,
)

_MAE_DECODER = r'decoder_.*|mask_token'
_HEAD = r'(head|head_dist|fc_norm|pre_logits)\..*'
_OPENMMLAB_UNUSED = (r'data_preprocessor\..*', 'the config has the normalization')
_TRANSFORMERS_MARK = r'(\w+\.)?(encoder\.layer|layers)\.\d+\.attention\.(attention\.query|q_proj)\.weight'
_MASK_TOKEN = (r'(.*\.)?mask_token', 'only pre-training uses it')
REGISTER_NAMES = r'(.*\.)?(register_tokens|reg_token|storage_tokens)'
"""Names of registers, which only :class:`RegisterViT` has."""

FOREIGN_PARTS: dict[str, str] = {
    r'(.*\.)?rope(_embed(dings)?)?\..*': 'rotary positions',
    r'(.*\.)?(dist_token|distillation_token)': 'a distillation token',
    r'(.*\.)?norm_pre\..*': 'a norm before the first layer',
    r'(.*\.)?(attn\.[qk]_norm|attention\.[qk]_norm)\..*': 'query and key norms',
    r'(.*\.)?mlp\.(w12|w3|w1|w2|fc1_g|weights_in|weights_out|gate_proj)\..*': 'gated feed-forward layers (SwiGLU)',
}
"""Parts of encoders that :class:`PairMAEViT` does not have, by regular expressions of their names."""


@dataclass(frozen=True)
class Source:
    """A format that can be read.

    Attributes:
        marks: Regular expressions that detect the format: each must match one of the names.
        convert: Function that converts its names to ours.
        outside: Regular expression of the names that do not belong to the encoder.
        unused: Regular expression of names that the model does not use, and the reason.
        encoder_only_because: Reason why parameters outside the encoder have no counterpart here, if they have none.
        registers: Whether its encoder may have registers.
    """

    marks: tuple[str, ...]
    convert: Callable[[Mapping[str, Tensor]], StateDict]
    outside: str
    unused: tuple[str, str] | None = None
    encoder_only_because: str = ''
    registers: bool = False

    def matches(self, names: Iterable[str]) -> bool:
        """Whether parameter names are in this format."""
        return all(any(re.fullmatch(mark, name) for name in names) for mark in self.marks)


@dataclass(frozen=True)
class Target:
    """A format that can be written.

    Attributes:
        convert: Function that converts our names to its names.
        decoders: Decoders that its code has (see :class:`Architecture`); None if all are kept.
        frame_embed: Whether its encoder has frame identity embeddings; None if both are possible.
        cls_token: Whether its encoder has a class token; None if both are possible.
        container: Key of the parameters in a file of ``torch.save``.
        addition: What its encoder has in addition to a ViT (see :class:`Architecture`), or None for nothing; ``'any'``
            if all is kept.
    """

    convert: Callable[[Mapping[str, Tensor]], StateDict]
    decoders: tuple[str, ...] | None = ()
    frame_embed: bool | None = False
    cls_token: bool | None = None
    container: str = 'state_dict'
    addition: str | None = None


# Formats are tried in this order, specific ones first.
SOURCES: dict[str, Source] = {
    'hiptrack': Source(
        marks=(r'backbone\.pos_embed_x', r'HIP\..*'),
        convert=hiptrack_to_mmvidmae,
        outside=r'(box_head|HIP|key_proj|key_comp|searchRegionFusion)\..*|backbone\.pos_embed_z',
        unused=(r'backbone\.(cls_token|pos_embed)', 'HIPTrack keeps, but never uses them'),
    ),
    'bat': Source(
        marks=(r'backbone\.pos_embed_x', r'backbone\.blocks\.\d+\.adap_t\..*'),
        convert=bat_to_mmvidmae,
        outside=r'box_head\..*|backbone\.pos_embed_z|backbone\.blocks\.\d+\.adap2?_t\..*',
        unused=(r'backbone\.(cls_token|pos_embed)', 'BAT keeps, but never uses them'),
    ),
    'droptrack': Source(
        marks=(r'backbone\.pos_embed_x', r'box_head\..*'),
        convert=droptrack_to_mmvidmae,
        outside=r'box_head\..*|backbone\.pos_embed_z',
        unused=(r'backbone\.(cls_token|pos_embed)', 'DropTrack keeps, but never uses them'),
    ),
    'dropseg': Source(
        marks=(r'temporal_pos_embed_x', r'stcn_decoder\..*'),
        convert=dropseg_to_mmvidmae,
        outside=r'(mask_patch_embed|fpn1|fpn2|stcn_decoder)\..*|pos_embed_two_frame',
        unused=(rf'cls_token|pos_embed_three_frame|{_HEAD}', 'DropSeg keeps, but never uses them'),
    ),
    'dropmae': Source(marks=(r'temporal_pos_embed_x',), convert=dropmae_to_mmvidmae, outside=_MAE_DECODER),
    'catmae': Source(marks=(r'decoder_frame_info',), convert=catmae_to_mmvidmae, outside=_MAE_DECODER),
    'cropmae': Source(
        marks=(r'decoder_blocks\.\d+\.multihead_attn\..*',), convert=cropmae_to_mmvidmae, outside=_MAE_DECODER
    ),
    'rsp': Source(
        marks=(r'decoder_embed_stoch\..*',),
        convert=rsp_to_mmvidmae,
        outside=rf'{_MAE_DECODER}|to_(posterior|prior)\..*',
    ),
    'tobo': Source(marks=(r'decoder_embed_mae\..*',), convert=tobo_to_mmvidmae, outside=_MAE_DECODER),
    'cosettle': Source(
        marks=(r'adapter\.adapter\.adapter_linear\.weight',), convert=cosettle_to_mmvidmae, outside=r'adapter\..*'
    ),
    'rvm': Source(
        marks=(r'rnn_core/.*',),
        convert=rvm_to_mmvidmae,
        outside=r'(decoder|decoder_embedder|delta_embedder|detokenizer)/.*|mask_token',
    ),
    'dino': Source(
        marks=(r'(backbone\.)?blocks\.\d+\.attn\.qkv\.weight', r'head\.(mlp|last_layer)\..*'),
        convert=dino_to_mmvidmae,
        outside=_HEAD,
        encoder_only_because="DINO's projection head has no counterpart here",
    ),
    'tcore': Source(
        marks=(r'((student|teacher)\.)?backbone\.blocks\.\d+\.ls1\.gamma', REGISTER_NAMES),
        convert=tcore_to_mmvidmae,
        outside=r'(student|auxiliary)\..*|(dino_loss|ibot_patch_loss)\.center|(teacher\.)?dino_head\..*',
        unused=(r'ibot_patch_loss_2\.center', 'T-CoRe keeps, but never uses it'),
        registers=True,
    ),
    'mae': Source(marks=(r'decoder_blocks\.\d+\.attn\.qkv\.weight',), convert=mae_to_mmvidmae, outside=_MAE_DECODER),
    'dinov2': Source(
        marks=(r'(backbone\.)?blocks\.(\d+\.)+attn\.qkv\.weight', r'(backbone\.)?blocks\.(\d+\.)+ls1\.gamma'),
        convert=timm_to_mmvidmae,
        outside=rf'(dino_head|ibot_head)\..*|{_HEAD}',
        unused=_MASK_TOKEN,
        encoder_only_because="DINOv2's projection heads have no counterpart here",
    ),
    'timm': Source(
        marks=(r'blocks\.\d+\.attn\.qkv\.weight',),
        convert=timm_to_mmvidmae,
        outside=_HEAD,
        encoder_only_because='the classification head has no counterpart here',
    ),
    'vitmae': Source(
        marks=(_TRANSFORMERS_MARK, r'decoder\.decoder_layers\..*'),
        convert=transformers_to_mmvidmae,
        outside=r'decoder\..*',
    ),
    'transformers': Source(
        marks=(_TRANSFORMERS_MARK,),
        convert=transformers_to_mmvidmae,
        outside=r'(\w+\.)?(pooler|classifier|decoder)\..*',
        unused=_MASK_TOKEN,
        encoder_only_because='the pooler and the head have no counterpart here',
    ),
    # The encoder of T-CoRe is the teacher's, which the authors evaluate.
    'mmvidmae-teacher': Source(
        marks=(r'teacher\.backbone\.layers\.\d+\.attn\.qkv\.weight',),
        convert=encoder_of_teacher,
        outside=r'(backbone|neck|head|teacher\.head)\..*|teacher\.centers',
        unused=_OPENMMLAB_UNUSED,
        registers=True,
    ),
    'mmvidmae': Source(
        marks=(
            r'(backbone|neck)\.frame_embed|backbone\.(pos_embed_x|mask_embed\.weight)|'
            r'neck\.decoder_blocks\.\d+\.ln_ffn\.weight|backbone\.(core|adapter)\..*',
        ),
        convert=dict,
        outside=r'(neck|head|decode_head|stochastic|prompt)\..*|backbone\.(mask_embed|adapters)\..*',
        unused=_OPENMMLAB_UNUSED,
        registers=True,
    ),
    # Also our models without additional parameters, such as the encoder of SiamMAE: their names are the same.
    'mmpretrain': Source(
        marks=(r'backbone\.layers\.\d+\.attn\.qkv\.weight',),
        convert=dict,
        outside=r'(neck|head)\..*',
        unused=_OPENMMLAB_UNUSED,
        registers=True,
    ),
}
TARGETS: dict[str, Target] = {
    'mmvidmae': Target(dict, decoders=None, frame_embed=None, addition='any'),
    'mmpretrain': Target(dict, decoders=('mae',)),
    'mmseg': Target(mmvidmae_to_mmseg),
    'timm': Target(mmvidmae_to_mae),
    'mae': Target(mmvidmae_to_mae, decoders=('mae',), cls_token=True, container='model'),
    'dropmae': Target(mmvidmae_to_dropmae, decoders=('dropmae',), frame_embed=True, cls_token=False, container='model'),
    'cropmae': Target(mmvidmae_to_cropmae, decoders=('cropmae',), cls_token=True, container='model'),
    'catmae': Target(mmvidmae_to_catmae, decoders=('catmae',), cls_token=True, container='model'),
    'rsp': Target(mmvidmae_to_rsp, decoders=('rsp',), cls_token=True, container='model'),
    'tobo': Target(mmvidmae_to_tobo, decoders=('cross-self',), cls_token=True, container='model'),
    'tcore': Target(mmvidmae_to_tcore, decoders=('tcore',), cls_token=True, container='model', addition=REGISTERS),
    'cosettle': Target(mmvidmae_to_cosettle, cls_token=True, container='model', addition='adapter'),
    'rvm': Target(mmvidmae_to_rvm, decoders=('rvm',), cls_token=True, addition='recurrent core'),
}


def recognize(names: Iterable[str]) -> str | None:
    """Name of the first format of :data:`SOURCES` that matches parameter names, or None."""
    names = list(names)
    return next((name for name, source in SOURCES.items() if source.matches(names)), None)
