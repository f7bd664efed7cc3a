"""Encoder of DropSeg: memory frames with their masks and a query frame in one sequence."""

import torch
from torch import Tensor, nn

from mmvidmae.registry import MODELS

from ..backbones import PairMAEViT
from ..layers import check_shapes, layer_of_last_tokens, maybe_checkpoint, square_grid


@MODELS.register_module()
class MemoryMAEViT(PairMAEViT):
    """Vision transformer over the tokens of memory frames, each with the mask of an object, and of a query frame.

    A mask is embedded like an image with one channel and added to the tokens of its frame. Memory frames have the frame
    identity of the later frame in pre-training, the query frame that of the earlier one (``temporal_pos_embed_z`` and
    ``_x``), as in DropSeg (DropMAE, arXiv:2304.00571, section 4). All frames have the same position embedding.

    The encoder loads its own checkpoints and those of any single-frame or pair encoder with mmpretrain's parameter
    names (DropMAE, SiamMAE, MAE, a ViT classifier). From the latter, a class token is ignored, missing frame identities
    are initialized to zero, and the mask embedding keeps its initial values. The position embedding is interpolated
    (bicubic) to ``img_size`` when it is loaded, and then to frames of other sizes, as the authors do.
    ``frozen_stages`` does not freeze the mask embedding, which is not pre-trained.

    Args:
        arch: As in :class:`PairMAEViT`.
        img_size: Height and width of training frames in pixels, or one number for a square.
        patch_size: Patch side in pixels.
        frame_embed: Whether to use frame identity embeddings.
        **kwargs: Further arguments of :class:`PairMAEViT`.
    """

    def __init__(
        self,
        arch: str | dict = 'base',
        img_size: int | tuple[int, int] = 384,
        patch_size: int = 16,
        frame_embed: bool = True,
        **kwargs,
    ) -> None:
        super().__init__(arch, img_size, patch_size, frame_embed=frame_embed, with_cls_token=False, **kwargs)
        self.mask_embed = nn.Conv2d(1, self.embed_dims, patch_size, patch_size)

    def embed_masks(self, masks: Tensor) -> Tensor:
        """Embed masks ``(K, H, W)``, 0 to 1, as ``(K, L, D)``, which is added to the tokens of their frames."""
        return self.mask_embed(masks[:, None]).flatten(2).mT

    def forward(self, memory: Tensor, query: Tensor) -> Tensor:
        """Encode a query frame together with memory frames.

        Args:
            memory: Tokens ``(N, M, D)`` of memory frames, mask embeddings included.
            query: Tokens ``(N, L, D)`` of the query frame, repeated for each object to segment.

        Returns:
            Query tokens ``(N, L, D)`` after the final norm.
        """
        tokens = self.pre_norm(self.drop_after_pos(torch.cat((memory, query), dim=1)))
        *layers, last = self.layers
        for layer in layers:
            tokens = maybe_checkpoint(layer, tokens, with_cp=self.with_cp)
        return self.ln1(maybe_checkpoint(layer_of_last_tokens, last, tokens, memory.shape[1], with_cp=self.with_cp))

    def _prepare_pos_embed(self, state_dict: dict[str, Tensor], prefix: str, *args, **kwargs) -> None:
        """Convert an encoder's parameters to those of this one before loading (hook of mmpretrain's VisionTransformer).

        A mismatch is an error. MMEngine would only warn and train from partly random weights.
        """
        pos_embed = state_dict.get(f'{prefix}pos_embed')
        num_extra = int(state_dict.pop(f'{prefix}cls_token', None) is not None)
        if pos_embed is not None:
            state_dict[f'{prefix}pos_embed'] = pos_embed = pos_embed[:, num_extra:]
            if pos_embed.shape[1] != self.pos_embed.shape[1] and square_grid(pos_embed.shape[1]) is None:
                raise ValueError(f'the position embedding has {pos_embed.shape[1]} patches, which are no square')
        if self.frame_embed is None:
            state_dict.pop(f'{prefix}frame_embed', None)
        if not any(name.startswith(f'{prefix}mask_embed.') for name in state_dict):  # a pre-trained encoder
            for name, value in self.mask_embed.state_dict().items():
                state_dict[f'{prefix}mask_embed.{name}'] = value.clone()
            if self.frame_embed is not None:
                state_dict.setdefault(f'{prefix}frame_embed', torch.zeros_like(self.frame_embed))
        super()._prepare_pos_embed(state_dict, prefix, *args, **kwargs)
        check_shapes(self, state_dict, prefix)
