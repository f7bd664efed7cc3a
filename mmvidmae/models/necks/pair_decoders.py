"""Decoders that reconstruct the patches of frames from the latents of visible patches."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from mmpretrain.models.utils import build_norm_layer, resize_pos_embed
from torch import Tensor, nn

from mmvidmae.registry import MODELS

from ..layers import (
    CrossAttention,
    CrossBlock,
    SpatialDropBlock,
    build_1d_sincos_pos_embed,
    build_2d_sincos_pos_embed,
    init_mae_weights,
    maybe_checkpoint,
    require,
    require_divisible,
    require_share,
    require_whole,
)
from ..layers.blocks import GELU, LN
from ..masking import TokenMask


@dataclass(frozen=True)
class DecoderBranch:
    """One prediction of a decoder: which frames it predicts, what it reads, and how its loss counts.

    Only :class:`CrossPairDecoder` reads the fields from ``memory`` to ``sampled_token``.

    Attributes:
        targets: Predicted frames. 0 is the first frame of the clip.
        memory: Frames that the cross-attention reads. Without any, the cross-attention is skipped.
        queries: ``'restored'``: the visible tokens of the target among mask tokens. ``'mask'``: mask tokens only.
        cls_token: Frame whose class token is at the class position of the queries; by default that of the target.
        memory_tokens: ``'visible'``: the visible tokens of the memory frames. ``'restored'``: all their tokens, the
            visible ones among mask tokens.
        sampled_token: Whether the memory begins with a sampled token, see :class:`StochasticToken`.
        weight: Weight of the loss.
        over: Patches that the loss covers, ``'hidden'`` or ``'all'``.
        name: Name of the loss in the log, ``loss_<name>``. The loss of a single branch is ``loss``.

    Raises:
        ValueError: If a value is out of range.
    """

    targets: Sequence[int] = (1,)
    memory: Sequence[int] = (0,)
    queries: str = 'restored'
    cls_token: int | None = None
    memory_tokens: str = 'visible'
    sampled_token: bool = False
    weight: float = 1.0
    over: str = 'hidden'
    name: str = ''

    def __post_init__(self) -> None:
        for field in ('targets', 'memory'):
            object.__setattr__(self, field, tuple(getattr(self, field)))
        require(len(self.targets) > 0, self, 'targets', self.targets, 'one frame or more')
        require(self.queries in ('restored', 'mask'), self, 'queries', self.queries, "'restored' or 'mask'")
        tokens = self.memory_tokens
        require(tokens in ('visible', 'restored'), self, 'memory_tokens', tokens, "'visible' or 'restored'")
        require(self.over in ('hidden', 'all'), self, 'over', self.over, "'hidden' or 'all'")

    @property
    def reads(self) -> tuple[int, ...]:
        """All frames of the clip that the branch needs."""
        return (*self.targets, *self.memory, *(() if self.cls_token is None else (self.cls_token,)))

    @property
    def loss_name(self) -> str:
        """Name of the loss in the log."""
        return f'loss_{self.name}' if self.name else 'loss'


class PairDecoder(BaseModule):
    """Base class of decoders: projection of latents, mask token, position embedding and pixel prediction.

    Args:
        embed_dims: Width of the latents.
        grid: Patch grid of a frame (rows, columns) for the fixed sine-cosine position embedding.
        patch_size: Patch side p in pixels.
        with_cls_token: Whether latents begin with a class token.
        decoder_dims: Decoder width.
        blocks: Transformer blocks.
        with_cp: Whether to use gradient checkpointing: only block inputs are kept, and the backward pass reruns each
            block.

    Attributes:
        accepts_joint_mask: Whether the decoder accepts one mask over the tokens of all frames.
        branches: One entry for each prediction that :meth:`forward` returns.
    """

    accepts_joint_mask = False
    branches: tuple[DecoderBranch, ...]

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
        """Position embeddings of the class token ``(1, 0 or 1, D)`` and the patches ``(1, L, D)`` for a patch grid."""
        embed = resize_pos_embed(self.decoder_pos_embed, self.grid, grid, num_extra_tokens=self.num_extra_tokens)
        return embed[:, : self.num_extra_tokens], embed[:, self.num_extra_tokens :]

    def all_tokens(self, visible: Tensor, mask: TokenMask, pos_embed: tuple[Tensor, Tensor]) -> Tensor:
        """Build all tokens of a frame ``(N, 0 or 1 + L, D)`` from the visible ones, class token first. Hidden patches
        get mask tokens. The position embeddings of :meth:`pos_embed` are added."""
        extra = self.num_extra_tokens
        cls_pos, patch_pos = pos_embed
        restored = mask.restore(visible[:, extra:], self.mask_token)
        return torch.cat((visible[:, :extra] + cls_pos, restored + patch_pos), dim=1)


def check_decoder(part: PairDecoder, decoder_dims: int, depth: int, num_heads: int, mlp_ratio: float = 1) -> None:
    """Check the sizes common to all decoders before their blocks are built."""
    require_whole(part, decoder_dims=decoder_dims, depth=depth, num_heads=num_heads)
    require_divisible(part, num_heads, 'num_heads', decoder_dims=decoder_dims)
    require(mlp_ratio * decoder_dims >= 1, part, 'mlp_ratio', mlp_ratio, 'a positive number')


@MODELS.register_module()
class JointPairDecoder(PairDecoder):
    """Decoder with self-attention over all tokens of all frames and adaptive spatial-attention dropout (DropMAE).
    TwinMAE uses it without the dropout. The dropout is defined for two frames.

    Learned identity embeddings, initialized from N(0, 1), distinguish the frames. A class token of the encoder is not
    used. The defaults are the paper's decoder of width 512 and depth 8.

    Args:
        embed_dims: Width of the latents.
        grid: Patch grid of a frame (rows, columns).
        patch_size: Patch side p in pixels.
        with_cls_token: Whether latents begin with a class token.
        decoder_dims: Decoder width.
        depth: Number of blocks.
        num_heads: Attention heads.
        mlp_ratio: Ratio of the hidden width of feed-forward layers to the decoder width.
        spatial_drop: Drop ratio P of ASAD, applied in every block in training; see :class:`SpatialDropAttention`.
        share_heads: Whether all heads share one ASAD mask, instead of one mask per head.
        drop_strategy: What is dropped; see :class:`SpatialDropAttention`.
        asad_backend: ``'auto'``, ``'torch'`` or ``'triton'``: what draws the drops; see :class:`SpatialDropAttention`.
        frame_embed: Whether to add frame identity embeddings.
        num_frames: Number T of frames in a clip.
        with_cp: Whether to use gradient checkpointing: only block inputs are kept, and the backward pass reruns each
            block.
    """

    accepts_joint_mask = True

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
        drop_strategy: str = 'adaptive',
        asad_backend: str = 'auto',
        frame_embed: bool = True,
        num_frames: int = 2,
        with_cp: bool = False,
    ) -> None:
        check_decoder(self, decoder_dims, depth, num_heads, mlp_ratio)
        require(num_frames == 2 or not spatial_drop, self, 'spatial_drop', spatial_drop, '0 for more than two frames')
        hidden = int(mlp_ratio * decoder_dims)
        blocks = [
            SpatialDropBlock(decoder_dims, num_heads, hidden, spatial_drop, share_heads, drop_strategy, asad_backend)
            for _ in range(depth)
        ]
        super().__init__(embed_dims, grid, patch_size, with_cls_token, decoder_dims, blocks, with_cp)
        self.num_frames = num_frames
        self.branches = (DecoderBranch(targets=range(num_frames), memory=()),)
        self.frame_embed = nn.Parameter(torch.randn(1, num_frames, 1, decoder_dims)) if frame_embed else None

    @property
    def spatial_drop(self) -> float:
        """Drop ratio P of all blocks. :class:`AttributeScheduleHook` can set it as ``'neck.spatial_drop'``."""
        return self.decoder_blocks[0].attn.spatial_drop

    @spatial_drop.setter
    def spatial_drop(self, value: float) -> None:
        require_share(self, one=True, spatial_drop=value)
        require(self.num_frames == 2 or not value, self, 'spatial_drop', value, '0 for more than two frames')
        for block in self.decoder_blocks:
            block.attn.spatial_drop = value

    def forward(
        self,
        latents: Sequence[Tensor],
        masks: Sequence[TokenMask],
        grid: tuple[int, int],
        drop_masks: Sequence[Tensor] | None = None,
    ) -> tuple[Tensor]:
        """Predict the pixels of all frames.

        Args:
            latents: Latents ``(N, K, D)`` of the visible tokens of each mask.
            masks: One mask of all frames or T masks, as given to the encoder.
            grid: Patch grid of a frame (rows, columns).
            drop_masks: For each block, a boolean mask ``(N, heads or 1, T L, T L)`` of attention to drop, to repeat
                given draws.

        Returns:
            One prediction ``(N, T L, p * p * 3)``, frame 0 first, pixel-major with the channel last.
        """
        groups = [self.decoder_embed(latent[:, self.num_extra_tokens :]) for latent in latents]
        groups = [mask.restore(group, self.mask_token) for mask, group in zip(masks, groups)]
        x = torch.cat(groups, dim=1).unflatten(1, (self.num_frames, -1)) + self.pos_embed(grid)[1]
        if self.frame_embed is not None:
            x = x + self.frame_embed
        x = x.flatten(1, 2)
        for block, drop_mask in zip(self.decoder_blocks, drop_masks or [None] * len(self.decoder_blocks)):
            x = maybe_checkpoint(block, x, drop_mask, with_cp=self.with_cp)
        return (self.decoder_pred(self.ln1(x)),)


@MODELS.register_module()
class CrossPairDecoder(PairDecoder):
    """Decoder that reconstructs a target frame from a memory of other frames (SiamMAE, arXiv 2305.14344, section 3.2).

    All tokens of the target frame are the queries. The visible tokens of the memory frames are read by
    cross-attention, the same in every block. ``branches`` lists what is decoded from what, with the same weights. For
    SiamMAE it is one branch: the future frame from the past frame.

    The paper does not give the size of its decoder. The defaults are MAE's decoder, on which the paper builds, with
    position embeddings on both frames, as RSP and ToBo implement it.

    Args:
        embed_dims: Width of the latents.
        grid: Patch grid of a frame (rows, columns).
        patch_size: Patch side p in pixels.
        with_cls_token: Whether latents begin with a class token, which the decoder keeps for all frames.
        decoder_dims: Decoder width.
        depth: Number of blocks.
        num_heads: Attention heads.
        feedforward_channels: Hidden width of the feed-forward layers; by default four times the width.
        order: Order of the steps in a block. Without ``'self'`` the queries do not see each other. Without ``'cross'``
            the memory joins the sequence of the queries (the "joint" decoder of the paper).
        norm_first: Whether to use pre-norm instead of post-norm.
        eps: Epsilon of the layer norms in the blocks.
        memory_pos_embed: Whether to add position embeddings to the memory.
        memory_frame_embed: Whether to add a learned embedding of its frame to each token of the memory (CatMAE). The
            queries get none.
        frame_projections: Whether each frame has its own projection to the decoder width (RSP), instead of one
            projection for all.
        dropout: Dropout rate in the blocks.
        packed_init: Whether to initialize the query, key and value projections of cross-attention as one matrix; see
            :class:`CrossAttention`. CropMAE's decoder does; the decoders that the paper builds on do not.
        branches: Each a :class:`DecoderBranch`, as a dict. Several branches need names.
        num_frames: Number T of frames in a clip.
        with_cp: Whether to use gradient checkpointing: only block inputs are kept, and the backward pass reruns each
            block.
        norm_memory: See :class:`CrossBlock`.
        act_cfg: See :class:`CrossBlock`.
        flat_pos_embed: Whether the position embedding is that of the flattened patch grid,
            :func:`build_1d_sincos_pos_embed` (RVM). It is then not part of the checkpoint.
        num_offsets: Number of time offsets that a linear layer embeds and adds to the patch queries of the target
            (RVM): 0, 1, ... frames after the first frame. 0 for no embedding.

    Raises:
        ValueError: If a value is out of range.
    """

    def __init__(
        self,
        embed_dims: int = 384,
        grid: tuple[int, int] = (14, 14),
        patch_size: int = 16,
        with_cls_token: bool = True,
        decoder_dims: int = 512,
        depth: int = 8,
        num_heads: int = 16,
        feedforward_channels: int | None = None,
        order: Sequence[str] = ('cross', 'self', 'ffn'),
        norm_first: bool = True,
        eps: float = 1e-6,
        memory_pos_embed: bool = True,
        memory_frame_embed: bool = False,
        frame_projections: bool = False,
        dropout: float = 0.0,
        packed_init: bool = False,
        branches: Sequence[dict] = (dict(targets=(1,), memory=(0,)),),
        num_frames: int = 2,
        with_cp: bool = False,
        norm_memory: bool = True,
        act_cfg: dict = GELU,
        flat_pos_embed: bool = False,
        num_offsets: int = 0,
    ) -> None:
        check_decoder(self, decoder_dims, depth, num_heads)
        require_whole(self, least=0, num_offsets=num_offsets)
        hidden = 4 * decoder_dims if feedforward_channels is None else feedforward_channels
        blocks = [
            CrossBlock(
                decoder_dims,
                num_heads,
                hidden,
                order=order,
                norm_first=norm_first,
                dropout=dropout,
                packed_init=packed_init,
                eps=eps,
                norm_memory=norm_memory,
                act_cfg=act_cfg,
            )
            for _ in range(depth)
        ]
        super().__init__(embed_dims, grid, patch_size, with_cls_token, decoder_dims, blocks, with_cp)
        self.memory_pos_embed = memory_pos_embed
        self.num_offsets = num_offsets
        self.offset_embed = nn.Linear(num_offsets, decoder_dims) if num_offsets else None
        if flat_pos_embed:
            pos_embed = build_1d_sincos_pos_embed(self.grid[0] * self.grid[1], decoder_dims, with_cls_token)
            del self.decoder_pos_embed
            self.register_buffer('decoder_pos_embed', pos_embed, persistent=False)
        self.branches = tuple(DecoderBranch(**branch) for branch in branches)
        self._check_branches(num_frames)
        if frame_projections:
            self.decoder_embed = nn.ModuleList(nn.Linear(embed_dims, decoder_dims) for _ in range(num_frames))
        self.memory_frame_embed = None
        if memory_frame_embed:
            last = max((frame for branch in self.branches for frame in branch.memory), default=-1)
            require(last >= 0, self, 'memory_frame_embed', memory_frame_embed, 'False without memory frames')
            self.memory_frame_embed = nn.Parameter(torch.zeros(1, last + 1, 1, decoder_dims))

    def init_weights(self) -> None:
        """Initialize as MAE does, frame embeddings like the mask token."""
        super().init_weights()
        if self.memory_frame_embed is not None:
            nn.init.normal_(self.memory_frame_embed, std=0.02)

    def _check_branches(self, num_frames: int) -> None:
        names = [branch.name for branch in self.branches]
        named = len({*names}) == len(names) and (len(names) == 1 or '' not in names)
        require(len(names) > 0 and named, self, 'branches', names, 'one or more, with different names')
        for branch in self.branches:
            there = {*branch.reads} <= {*range(num_frames)}
            require(there, self, 'branches', branch, f'over frames 0 to {num_frames - 1} (num_frames={num_frames})')
            require(len(branch.targets) == 1, self, 'targets', branch.targets, 'one frame for each branch')
            require(
                branch.cls_token is None or self.num_extra_tokens > 0,
                self,
                'cls_token',
                branch.cls_token,
                'None for an encoder without class token (or set with_cls_token=True)',
            )
            require(
                branch.queries == 'restored' or len(branch.memory) > 0,
                self,
                'memory',
                branch.memory,
                'one frame or more for queries that are mask tokens only',
            )
            require(
                branch.memory_tokens == 'visible' or self.memory_pos_embed,
                self,
                'memory_pos_embed',
                self.memory_pos_embed,
                "True for memory_tokens='restored', whose mask tokens differ by their positions only",
            )
            require(
                not branch.sampled_token or len(branch.memory) > 0,
                self,
                'memory',
                branch.memory,
                'one frame or more beside a sampled token',
            )

    def forward(
        self,
        latents: Sequence[Tensor],
        masks: Sequence[TokenMask],
        grid: tuple[int, int],
        sampled_token: Tensor | None = None,
        offsets: Tensor | None = None,
    ) -> tuple[Tensor, ...]:
        """Predict the pixels of the target frame of each branch.

        Args:
            latents: Latents ``(N, K, D)`` of the visible tokens of each frame.
            masks: Masks of all frames.
            grid: Patch grid of a frame (rows, columns).
            sampled_token: Token ``(N, 1, decoder_dims)``, first in the memory of branches with ``sampled_token``.
            offsets: Time offset of each frame to the first one, ``(N, T)`` int64, 0 to ``num_offsets - 1``. Only a
                decoder with ``num_offsets`` uses it, by default the position in the clip.

        Returns:
            For each branch, a prediction ``(N, L, p * p * 3)``, pixel-major with the channel last.
        """
        pos_embed = self.pos_embed(grid)
        if self.offset_embed is not None and offsets is None:
            offsets = torch.arange(len(latents), device=latents[0].device).expand(len(latents[0]), -1)
        tokens = self._project(latents)
        preds = []
        for branch in self.branches:
            memory = self._memory(branch, tokens, masks, pos_embed)
            if branch.sampled_token:
                memory = torch.cat((sampled_token.to(memory.dtype), memory), dim=1)
            preds.append(
                self.decode(self._queries(branch, tokens, masks, self._at_offset(branch, pos_embed, offsets)), memory)
            )
        return tuple(preds)

    def _project(self, latents: Sequence[Tensor]) -> list[Tensor]:
        """Project the latents of each frame to the decoder width."""
        if isinstance(self.decoder_embed, nn.ModuleList):
            return [project(latent) for project, latent in zip(self.decoder_embed, latents)]
        return [self.decoder_embed(latent) for latent in latents]

    def _at_offset(
        self, branch: DecoderBranch, pos_embed: tuple[Tensor, Tensor], offsets: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Position embeddings with the time offset of the target added to those of the patches."""
        if self.offset_embed is None:
            return pos_embed
        (target,) = branch.targets
        classes = F.one_hot(offsets[:, target], self.num_offsets).to(self.offset_embed.weight.dtype)
        return pos_embed[0], pos_embed[1] + self.offset_embed(classes)[:, None]

    def _queries(
        self, branch: DecoderBranch, tokens: list[Tensor], masks: Sequence[TokenMask], pos_embed: tuple[Tensor, Tensor]
    ) -> Tensor:
        """Queries ``(N, 0 or 1 + L, D)`` of a branch, class token first."""
        (target,) = branch.targets
        if branch.queries == 'mask':
            position = [embed.expand(len(tokens[target]), -1, -1) for embed in pos_embed]
            return self.mask_token + torch.cat(position, dim=1)
        visible = tokens[target]
        if branch.cls_token is not None:
            visible = torch.cat((tokens[branch.cls_token][:, :1], visible[:, 1:]), dim=1)
        return self.all_tokens(visible, masks[target], pos_embed)

    def _memory(
        self, branch: DecoderBranch, tokens: list[Tensor], masks: Sequence[TokenMask], pos_embed: tuple[Tensor, Tensor]
    ) -> Tensor | None:
        """Memory ``(N, M, D)`` of a branch: class token and visible or all tokens of each memory frame."""
        frames = []
        for frame in branch.memory:
            memory = tokens[frame]
            if branch.memory_tokens == 'restored':
                memory = self.all_tokens(memory, masks[frame], pos_embed)
            elif self.memory_pos_embed:
                cls_pos, patch_pos = (pos.expand(len(memory), -1, -1) for pos in pos_embed)
                memory = memory + torch.cat((cls_pos, masks[frame].visible(patch_pos)), dim=1)
            if self.memory_frame_embed is not None:
                memory = memory + self.memory_frame_embed[:, frame]
            frames.append(memory)
        return torch.cat(frames, dim=1) if frames else None

    def decode(self, queries: Tensor, memory: Tensor | None) -> Tensor:
        """Predict pixels ``(N, L, p * p * 3)`` from queries ``(N, 0 or 1 + L, D)`` and a memory ``(N, M, D)``."""
        x, num_queries = queries, queries.shape[1]
        if memory is not None and 'cross' not in self.decoder_blocks[0].order:
            x, memory = torch.cat((memory, x), dim=1), None
        for block in self.decoder_blocks:
            x = maybe_checkpoint(block, x, memory, with_cp=self.with_cp)
        return self.decoder_pred(self.ln1(x[:, -num_queries:]))[:, self.num_extra_tokens :]
