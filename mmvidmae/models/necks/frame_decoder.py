"""MAE's decoder, for the single-frame baseline."""

from collections.abc import Sequence

import torch
from torch import Tensor

from mmvidmae.registry import MODELS

from ..layers import CrossBlock, maybe_checkpoint
from ..masking import TokenMask
from .pair_decoders import DecoderBranch, PairDecoder, check_decoder


@MODELS.register_module()
class FrameDecoder(PairDecoder):
    """MAE's decoder (arXiv 2111.06377), applied to each frame separately. It is the baseline without a second frame.

    With a siamese encoder and per-frame masking, a clip of T frames is equivalent to T images in a batch of MAE.

    Args:
        embed_dims: Width of the latents.
        grid: Patch grid of a frame (rows, columns).
        patch_size: Patch side p in pixels.
        with_cls_token: Whether latents begin with a class token, which the decoder keeps.
        decoder_dims: Decoder width.
        depth: Number of blocks.
        num_heads: Attention heads.
        mlp_ratio: Ratio of the hidden width of feed-forward layers to the decoder width.
        num_frames: Number T of frames in a clip.
        with_cp: Whether to use gradient checkpointing: only block inputs are kept, and the backward pass reruns each
            block.
    """

    def __init__(
        self,
        embed_dims: int = 768,
        grid: tuple[int, int] = (14, 14),
        patch_size: int = 16,
        with_cls_token: bool = True,
        decoder_dims: int = 512,
        depth: int = 8,
        num_heads: int = 16,
        mlp_ratio: float = 4.0,
        num_frames: int = 2,
        with_cp: bool = False,
    ) -> None:
        check_decoder(self, decoder_dims, depth, num_heads, mlp_ratio)
        hidden = int(mlp_ratio * decoder_dims)
        blocks = [CrossBlock(decoder_dims, num_heads, hidden, order=('self', 'ffn')) for _ in range(depth)]
        super().__init__(embed_dims, grid, patch_size, with_cls_token, decoder_dims, blocks, with_cp)
        self.branches = (DecoderBranch(targets=range(num_frames), memory=()),)

    def forward(self, latents: Sequence[Tensor], masks: Sequence[TokenMask], grid: tuple[int, int]) -> tuple[Tensor]:
        """Predict the pixels of all frames.

        Args:
            latents: Latents ``(N, K, D)`` of the visible tokens of each frame.
            masks: Masks of all frames.
            grid: Patch grid of a frame (rows, columns).

        Returns:
            One prediction ``(N, T L, p * p * 3)``, frame 0 first, pixel-major with the channel last.
        """
        pos_embed = self.pos_embed(grid)
        frames = []
        for latent, mask in zip(latents, masks):
            x = self.all_tokens(self.decoder_embed(latent), mask, pos_embed)
            for block in self.decoder_blocks:
                x = maybe_checkpoint(block, x, with_cp=self.with_cp)
            frames.append(self.decoder_pred(self.ln1(x[:, self.num_extra_tokens :])))
        return (torch.cat(frames, dim=1),)
