"""Vision transformer with a recurrent core over the frames of a video (RVM)."""

from collections.abc import Sequence

import torch
from mmengine.model import BaseModule
from mmpretrain.models.utils import build_norm_layer
from torch import Tensor, nn

from mmvidmae.registry import MODELS

from ..layers import (
    CrossBlock,
    build_1d_sincos_pos_embed,
    interpolate_pos_embed_antialiased,
    maybe_checkpoint,
    require,
    require_divisible,
    require_whole,
)
from ..layers.blocks import LN, TANH_GELU
from ..masking import TokenMask
from .pair_mae_vit import PairMAEViT


@MODELS.register_module()
class GatedCrossCore(BaseModule):
    """Gated recurrent unit over tokens whose candidate is a cross-attention transformer (RVM, arXiv 2512.13684).

    With the tokens e of a frame and the state s of the frames before::

        u = sigmoid(W_u e + V_u s)
        r = sigmoid(W_r e + V_r s)
        h = transformer(queries = e, memory = r * norm(s))
        s' = (1 - u) * s + u * h

    s' is the feature of the frame. The first state is zero.

    Args:
        embed_dims: Width D.
        depth: Number of blocks. A block reads the memory, then applies feed-forward and self-attention.
        num_heads: Attention heads.
        feedforward_channels: Hidden width of the feed-forward layers; by default four times the width.
        with_cp: Whether to use gradient checkpointing in the blocks.

    Source: ``google-deepmind/representations4d@75aca30:colabs/rvm_inference_demo.ipynb``, cell "Define model".
    """

    def __init__(
        self,
        embed_dims: int = 768,
        depth: int = 4,
        num_heads: int = 12,
        feedforward_channels: int | None = None,
        with_cp: bool = False,
    ) -> None:
        super().__init__()
        require_whole(self, depth=depth, num_heads=num_heads)
        require_divisible(self, num_heads, 'num_heads', embed_dims=embed_dims)
        hidden = 4 * embed_dims if feedforward_channels is None else feedforward_channels
        self.with_cp = with_cp
        self.input_update = nn.Linear(embed_dims, embed_dims, bias=False)
        self.state_update = nn.Linear(embed_dims, embed_dims, bias=False)
        self.input_reset = nn.Linear(embed_dims, embed_dims, bias=False)
        self.state_reset = nn.Linear(embed_dims, embed_dims, bias=False)
        self.ln_state = nn.LayerNorm(embed_dims, eps=1e-4, bias=False)
        self.blocks = nn.ModuleList(
            CrossBlock(embed_dims, num_heads, hidden, ('cross', 'ffn', 'self'), norm_memory=False, act_cfg=TANH_GELU)
            for _ in range(depth)
        )
        self.ln1 = build_norm_layer(LN, embed_dims)

    def forward(self, tokens: Tensor, state: Tensor | None = None) -> Tensor:
        """State ``(N, K, D)`` after a frame with tokens ``(N, K, D)``, from the state before it, by default zero."""
        if state is None:
            state = torch.zeros_like(tokens)
        update = (self.input_update(tokens) + self.state_update(state)).sigmoid()
        reset = (self.input_reset(tokens) + self.state_reset(state)).sigmoid()
        memory, x = reset * self.ln_state(state), tokens
        for block in self.blocks:
            x = maybe_checkpoint(block, x, memory, with_cp=self.with_cp)
        return (1 - update) * state + update * self.ln1(x)

    def scan(self, frames: Sequence[Tensor], state: Tensor | None = None) -> list[Tensor]:
        """States after each of several frames ``(N, K, D)``, in their order."""
        states = []
        for tokens in frames:
            state = self(tokens, state)
            states.append(state)
        return states


@MODELS.register_module()
class RecurrentViT(PairMAEViT):
    """Vision transformer whose features are the states of a recurrent core (RVM, arXiv 2512.13684).

    The core runs over the first ``num_sources`` frames of a clip. Target frames after them are encoded by the ViT
    alone. Without masks it runs over all frames. :meth:`forward_video` continues from a given state, so that a video of
    any length takes the memory of a few frames. The state is passed in and out, never kept.

    Positions are fixed sine-cosine embeddings of the flattened patch grid, which are not part of a checkpoint. For
    another grid they are interpolated as JAX does, with the bicubic kernel of Keys. The feed-forward layers use the
    tanh approximation of GELU.

    Args:
        *args: Arguments of :class:`PairMAEViT`.
        num_sources: Number K of frames at the begin of a clip that the core reads.
        core: Config of :class:`GatedCrossCore`. The width is filled in, and the number of attention heads is that of
            the ViT by default.
        **kwargs: Further arguments of :class:`PairMAEViT`. Only the last layer can be an output, and the encoding is
            siamese.

    Raises:
        ValueError: If an argument is out of range.
    """

    def __init__(self, *args, num_sources: int = 4, core: dict | None = None, **kwargs) -> None:
        kwargs = dict(encoding='siamese', layer_cfgs=dict(act_cfg=TANH_GELU)) | kwargs
        require_whole(self, num_sources=num_sources)
        super().__init__(*args, **kwargs)
        require(self.encoding == 'siamese', self, 'encoding', self.encoding, "'siamese'")
        last = tuple(self.out_indices) == (self.num_layers - 1,)
        require(last, self, 'out_indices', self.out_indices, 'the last layer only, from which the core continues')
        rows, columns = self.patch_resolution
        pos_embed = build_1d_sincos_pos_embed(rows * columns, self.embed_dims, self.cls_token is not None)
        del self.pos_embed
        self.register_buffer('pos_embed', pos_embed, persistent=False)
        self.num_sources = num_sources
        default = dict(
            type='mmvidmae.GatedCrossCore',
            embed_dims=self.embed_dims,
            num_heads=self.arch_settings['num_heads'],
            with_cp=self.with_cp,
        )
        self.core = MODELS.build({**default, **(core or {})})

    def positions(self, grid: tuple[int, int]) -> Tensor:
        """Position embedding ``(1, L, D)`` of a frame with a grid of L patches."""
        pos_embed = self.pos_embed[:, self.num_extra_tokens :]
        return interpolate_pos_embed_antialiased(pos_embed, self.patch_resolution, grid)

    def forward(self, x: Tensor, masks: Sequence[TokenMask] | None = None) -> tuple[Tensor, ...]:
        """Encode single frames or clips.

        Args:
            x: Normalized frames ``(N, 3, H, W)`` or clips ``(N, T, 3, H, W)``.
            masks: One mask for each frame, or None to read all frames whole.

        Returns:
            For single frames, the feature given by ``out_type``: the state after this frame alone. For clips, the
            states ``(N, 1 + L, D)`` after the source frames, then the latents ``(N, K, D)`` of the visible tokens of
            the targets. Without masks, the states after all frames.

        Raises:
            ValueError: If the input size is not divisible by the patch size, or a source frame has hidden tokens.
        """
        if x.ndim == 4:
            tokens, grid = self.encode_whole(x)
            return (self._format_output(self.core(tokens), grid),)
        if masks is None:
            tokens, _ = self.encode_whole(x.flatten(0, 1))
            return tuple(self.core.scan(tokens.unflatten(0, x.shape[:2]).unbind(1)))
        if any(mask.ids_keep.shape != mask.mask.shape for mask in masks[: self.num_sources]):
            raise ValueError(
                f'RecurrentViT: the core reads the first {self.num_sources} frames whole: set their mask_ratio to 0'
            )
        latents = super().forward(x, masks)
        return (*self.core.scan(latents[: self.num_sources]), *latents[self.num_sources :])

    def forward_video(self, frames: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Continue a video with its next frames.

        Args:
            frames: Normalized frames ``(T, 3, H, W)`` in their order.
            state: State ``(1, 1 + L, D)`` after the frames before, or None at the begin of the video.

        Returns:
            Features of the frames, ``(T, C, h, w)`` with ``out_type='featmap'``, and the state after the last one.
        """
        tokens, grid = self.encode_whole(frames)
        states = self.core.scan(tokens.split(1), state)
        return self._format_output(torch.cat(states), grid), states[-1]

    def encode_whole(self, frames: Tensor) -> tuple[Tensor, tuple[int, int]]:
        """Latents ``(N, 1 + L, D)`` of whole frames ``(N, 3, H, W)`` before the core, and the patch grid."""
        tokens, grid = self.embed(frames[:, None])
        (latent,) = self.encode(self.with_cls(tokens[:, 0]), self.out_indices)
        return latent, grid
