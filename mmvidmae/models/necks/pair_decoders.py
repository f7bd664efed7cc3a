"""Decoders that reconstruct the patches of a frame pair from the latents of the visible ones."""

from collections.abc import Sequence

import torch
from mmengine.model import BaseModule
from mmpretrain.models.utils import build_norm_layer, resize_pos_embed
from torch import Tensor, nn

from mmvidmae.registry import MODELS

from ..layers import (
    CrossAttention,
    CrossBlock,
    SpatialDropBlock,
    build_2d_sincos_pos_embed,
    init_mae_weights,
    maybe_checkpoint,
    require,
    require_divisible,
    require_whole,
)
from ..layers.blocks import LN, check_order
from ..masking import TokenMask


class PairDecoder(BaseModule):
    """What the decoders share: projection of latents, mask token, position embedding and prediction of pixels.

    Args:
        embed_dims: Width of the latents.
        grid: Patches of a frame (rows, columns) for which the fixed sine-cosine position embedding is made.
        patch_size: Patch side p in pixels.
        with_cls_token: Whether latents carry a class token in front.
        decoder_dims: Decoder width.
        blocks: The transformer blocks.
        with_cp: Gradient checkpointing: keep only the inputs of blocks, and compute them again in the backward pass.

    Attributes:
        num_groups: Numbers of masks of a pair that the decoder can work with.
        predicts: The frames that it predicts.
    """

    num_groups = (2,)
    predicts = (0, 1)

    def __init__(
        self,
        embed_dims: int,
        grid: tuple[int, int],
        patch_size: int,
        with_cls_token: bool,
        decoder_dims: int,
        blocks: Sequence[nn.Module],
        with_cp: bool = False,
    ) -> None:
        super().__init__()
        require_whole(self, embed_dims=embed_dims, patch_size=patch_size)
        require(decoder_dims % 4 == 0, self, 'decoder_dims', decoder_dims, 'divisible by 4, for sines and cosines')
        self.grid = tuple(grid)
        self.with_cp = with_cp
        self.num_extra_tokens = int(with_cls_token)
        self.decoder_embed = nn.Linear(embed_dims, decoder_dims)
        self.mask_token = nn.Parameter(torch.zeros(1, 1, decoder_dims))
        pos_embed = build_2d_sincos_pos_embed(self.grid, decoder_dims, with_cls_token)
        self.decoder_pos_embed = nn.Parameter(pos_embed, requires_grad=False)
        self.decoder_blocks = nn.ModuleList(blocks)
        self.ln1 = build_norm_layer(LN, decoder_dims)
        self.decoder_pred = nn.Linear(decoder_dims, 3 * patch_size**2)

    def init_weights(self) -> None:
        """Initialize as MAE does."""
        super().init_weights()
        init_mae_weights(self)
        for module in self.modules():
            if isinstance(module, CrossAttention):
                module.init_packed()
        nn.init.normal_(self.mask_token, std=0.02)

    def pos_embed(self, grid: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """Position embedding of class token ``(1, 0 or 1, D)`` and patches ``(1, L, D)`` for a patch grid."""
        embed = resize_pos_embed(self.decoder_pos_embed, self.grid, grid, num_extra_tokens=self.num_extra_tokens)
        return embed[:, : self.num_extra_tokens], embed[:, self.num_extra_tokens :]

    def all_tokens(self, visible: Tensor, mask: TokenMask, pos_embed: tuple[Tensor, Tensor]) -> Tensor:
        """Tokens of a whole frame ``(N, 0 or 1 + L, D)`` from the visible ones, class token first: mask tokens where
        patches are hidden, and positions as from :meth:`pos_embed`."""
        extra = self.num_extra_tokens
        cls_pos, patch_pos = pos_embed
        restored = mask.restore(visible[:, extra:], self.mask_token)
        return torch.cat((visible[:, :extra] + cls_pos, restored + patch_pos), dim=1)


def check_decoder(part: PairDecoder, decoder_dims: int, depth: int, num_heads: int, mlp_ratio: float = 1) -> None:
    """Check the sizes that all decoders have, before their blocks are made."""
    require_whole(part, decoder_dims=decoder_dims, depth=depth, num_heads=num_heads)
    require_divisible(part, num_heads, 'num_heads', decoder_dims=decoder_dims)
    require(mlp_ratio * decoder_dims >= 1, part, 'mlp_ratio', mlp_ratio, 'a positive number')


@MODELS.register_module()
class JointPairDecoder(PairDecoder):
    """Self-attention over all tokens of both frames, with adaptive spatial-attention dropout (DropMAE; TwinMAE with
    none of it).

    Learned identity embeddings, N(0, 1) at the start, tell the frames apart. A class token of the encoder is not used.
    Defaults are the paper's decoder of width 512, depth 8.

    Args:
        embed_dims: Width of the latents.
        grid: Patches of a frame (rows, columns).
        patch_size: Patch side p in pixels.
        with_cls_token: Whether latents carry a class token in front.
        decoder_dims: Decoder width.
        depth: Number of blocks.
        num_heads: Attention heads.
        mlp_ratio: Hidden width of the feed-forward layers over the decoder width.
        spatial_drop: P of ASAD, applied in every block in training; see :class:`SpatialDropAttention`.
        share_heads: One ASAD mask for all heads instead of one a head.
        frame_embed: Whether to add frame identity embeddings.
        with_cp: Gradient checkpointing: keep only the inputs of blocks, and compute them again in the backward pass.
    """

    num_groups = (1, 2)

    def __init__(
        self,
        embed_dims: int = 768,
        grid: tuple[int, int] = (14, 14),
        patch_size: int = 16,
        with_cls_token: bool = False,
        decoder_dims: int = 512,
        depth: int = 8,
        num_heads: int = 16,
        mlp_ratio: float = 4.0,
        spatial_drop: float = 0.1,
        share_heads: bool = False,
        frame_embed: bool = True,
        with_cp: bool = False,
    ) -> None:
        check_decoder(self, decoder_dims, depth, num_heads, mlp_ratio)
        hidden = int(mlp_ratio * decoder_dims)
        blocks = [SpatialDropBlock(decoder_dims, num_heads, hidden, spatial_drop, share_heads) for _ in range(depth)]
        super().__init__(embed_dims, grid, patch_size, with_cls_token, decoder_dims, blocks, with_cp)
        self.frame_embed = nn.Parameter(torch.randn(1, 2, 1, decoder_dims)) if frame_embed else None

    def forward(
        self,
        latents: Sequence[Tensor],
        masks: Sequence[TokenMask],
        grid: tuple[int, int],
        drop_masks: Sequence[Tensor] | None = None,
    ) -> Tensor:
        """Predict the pixels of both frames.

        Args:
            latents: Latents ``(N, K, D)`` of the visible tokens of each mask.
            masks: The masks that the encoder saw, one or two.
            grid: Patches of a frame (rows, columns).
            drop_masks: For each block a boolean mask ``(N, heads or 1, 2 L, 2 L)`` of attention to drop, to repeat a
                given draw.

        Returns:
            ``(N, 2 L, p * p * 3)``, frame 0 first, pixel-major with the channel last.
        """
        groups = [self.decoder_embed(latent[:, self.num_extra_tokens :]) for latent in latents]
        groups = [mask.restore(group, self.mask_token) for mask, group in zip(masks, groups)]
        x = torch.cat(groups, dim=1).unflatten(1, (2, -1)) + self.pos_embed(grid)[1]
        if self.frame_embed is not None:
            x = x + self.frame_embed
        x = x.flatten(1, 2)
        for block, drop_mask in zip(self.decoder_blocks, drop_masks or [None] * len(self.decoder_blocks)):
            x = maybe_checkpoint(block, x, drop_mask, with_cp=self.with_cp)
        return self.decoder_pred(self.ln1(x))


@MODELS.register_module()
class CrossPairDecoder(PairDecoder):
    """Reconstructs the future frame while reading the past frame (SiamMAE, arXiv 2305.14344, section 3.2).

    Tokens of the future frame are queries, the visible tokens of the past frame the memory, the same in every block.
    The paper does not print the size of its decoder; two readings are offered as presets:

    - ``'paper'``: MAE's decoder, on which the paper builds: 8 blocks, 512 wide, 16 heads, pre-norm, cross-attention,
      self-attention, feed-forward (4 x), position embedding on both frames (as RSP and ToBo implement it).
    - ``'cropmae'``: CropMAE's SiamMAE: 4 blocks, 256 wide, 8 heads, post-norm, cross-attention, feed-forward (2048
      wide), self-attention, dropout 0.1, no position embedding on the memory.

    Args:
        embed_dims: Width of the latents.
        grid: Patches of a frame (rows, columns).
        patch_size: Patch side p in pixels.
        with_cls_token: Whether latents carry a class token in front; the decoder keeps it in both streams.
        preset: ``'paper'`` or ``'cropmae'``: the values of what follows where it is not given.
        variant: ``'cross-self'`` (default), ``'cross'`` (no self-attention) or ``'joint'`` (self-attention over both
            frames together).
        with_cp: Gradient checkpointing: keep only the inputs of blocks, and compute them again in the backward pass.
        decoder_dims: Decoder width.
        depth: Number of blocks.
        num_heads: Attention heads.
        feedforward_channels: Hidden width of the feed-forward layers.
        norm_first: Pre-norm or post-norm.
        order: Order of the steps in a block.
        memory_pos_embed: Whether the memory gets position embeddings.
        dropout: Dropout rate in the blocks.
        packed_init: Whether query, key and value projections of the cross-attention are drawn as one matrix; see
            :class:`CrossAttention`. The decoders that the paper's rests on do not, CropMAE's does.

    Raises:
        TypeError: If an option does not exist.
        ValueError: If a value is out of range.
    """

    predicts = (1,)
    presets = {
        'paper': dict(
            decoder_dims=512,
            depth=8,
            num_heads=16,
            norm_first=True,
            order=('cross', 'self', 'ffn'),
            memory_pos_embed=True,
            dropout=0.0,
            packed_init=False,
        ),
        'cropmae': dict(
            decoder_dims=256,
            depth=4,
            num_heads=8,
            feedforward_channels=2048,
            norm_first=False,
            order=('cross', 'ffn', 'self'),
            memory_pos_embed=False,
            dropout=0.1,
            packed_init=True,
        ),
    }
    options = frozenset(presets['cropmae'])  # arguments that a preset has a value for
    variants = {'cross-self': {'cross', 'self', 'ffn'}, 'cross': {'cross', 'ffn'}, 'joint': {'self', 'ffn'}}

    def __init__(
        self,
        embed_dims: int = 384,
        grid: tuple[int, int] = (14, 14),
        patch_size: int = 16,
        with_cls_token: bool = True,
        preset: str = 'paper',
        variant: str = 'cross-self',
        with_cp: bool = False,
        **overrides,
    ) -> None:
        require(preset in self.presets, self, 'preset', preset, f'one of {", ".join(self.presets)}')
        require(variant in self.variants, self, 'variant', variant, f'one of {", ".join(self.variants)}')
        options = {'feedforward_channels': None, **self.presets[preset]}
        if unknown := overrides.keys() - options.keys():
            raise TypeError(f'CrossPairDecoder has no option {", ".join(sorted(unknown))}; it has {", ".join(options)}')
        options.update(overrides)
        dims, depth = options.pop('decoder_dims'), options.pop('depth')
        memory_pos_embed = options.pop('memory_pos_embed')
        check_decoder(self, dims, depth, options['num_heads'])
        check_order(self, options['order'])
        if options['feedforward_channels'] is None:
            options['feedforward_channels'] = 4 * dims
        options['order'] = [step for step in options['order'] if step in self.variants[variant]]
        blocks = [CrossBlock(dims, **options) for _ in range(depth)]
        super().__init__(embed_dims, grid, patch_size, with_cls_token, dims, blocks, with_cp)
        self.memory_pos_embed = memory_pos_embed
        self.variant = variant

    def forward(self, latents: Sequence[Tensor], masks: Sequence[TokenMask], grid: tuple[int, int]) -> Tensor:
        """Predict the pixels of the future frame.

        Args:
            latents: Latents of the visible tokens of the past and the future frame, ``(N, K, D)`` each.
            masks: The masks of both frames.
            grid: Patches of a frame (rows, columns).

        Returns:
            ``(N, L, p * p * 3)``, pixel-major with the channel last.
        """
        extra = self.num_extra_tokens
        cls_pos, patch_pos = self.pos_embed(grid)
        memory, x = (self.decoder_embed(latent) for latent in latents)
        x = self.all_tokens(x, masks[1], (cls_pos, patch_pos))
        if self.memory_pos_embed:
            visible_pos = masks[0].visible(patch_pos.expand(memory.shape[0], -1, -1))
            memory = memory + torch.cat((cls_pos.expand(memory.shape[0], -1, -1), visible_pos), dim=1)
        num_queries = x.shape[1]
        if self.variant == 'joint':
            x, memory = torch.cat((memory, x), dim=1), None
        for block in self.decoder_blocks:
            x = maybe_checkpoint(block, x, memory, with_cp=self.with_cp)
        return self.decoder_pred(self.ln1(x[:, -num_queries:]))[:, extra:]
