"""The encoder of DropSeg: memory frames with their masks and a query frame in one sequence."""

import torch
from torch import Tensor, nn

from mmvidmae.registry import MODELS

from ..backbones import PairMAEViT
from ..layers import layer_of_last_tokens, maybe_checkpoint, square_grid


@MODELS.register_module()
class MemoryMAEViT(PairMAEViT):
    """Vision transformer over the tokens of memory frames, each with the mask of an object, and of a query frame.

    A mask is embedded like a picture of one channel and added to the tokens of its frame. Remembered frames take the
    frame identity of pre-training's later frame and the query that of the earlier one (``temporal_pos_embed_z`` and
    ``_x``), as in DropSeg (DropMAE, arXiv:2304.00571, section 4). All frames have the same position embedding.

    It loads checkpoints of itself, and any plain or pair encoder with mmpretrain's names (DropMAE, SiamMAE, MAE, a ViT
    classifier): a class token is then left behind, frame identities that the checkpoint does not have start at zero,
    and the mask embedding keeps its initial values. The position embedding is interpolated (bicubic) to ``img_size``
    when it is loaded, and from there to frames of other sizes, as the authors do. ``frozen_stages`` leaves the mask
    embedding free, which no pre-training has.

    Args:
        arch: As in :class:`PairMAEViT`.
        img_size: Height and width of training frames in pixels, one number for a square.
        patch_size: Patch side in pixels.
        frame_embed: Whether there are frame identity embeddings.
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
        """What masks ``(K, H, W)``, 0 to 1, add to the tokens of their frames: ``(K, L, D)``."""
        return self.mask_embed(masks[:, None]).flatten(2).mT

    def forward(self, memory: Tensor, query: Tensor) -> Tensor:
        """Encode a query among what is remembered.

        Args:
            memory: Tokens ``(N, M, D)`` of memory frames, masks included.
            query: Tokens ``(N, L, D)`` of the query frame, equally many for each object that is looked for in it.

        Returns:
            The tokens ``(N, L, D)`` of the query after the last norm.
        """
        tokens = self.pre_norm(self.drop_after_pos(torch.cat((memory, query), dim=1)))
        *layers, last = self.layers
        for layer in layers:
            tokens = maybe_checkpoint(layer, tokens, with_cp=self.with_cp)
        return self.ln1(maybe_checkpoint(layer_of_last_tokens, last, tokens, memory.shape[1], with_cp=self.with_cp))

    def _prepare_pos_embed(self, state_dict: dict[str, Tensor], prefix: str, *args, **kwargs) -> None:
        """Before loading (hook of mmpretrain's VisionTransformer): make an encoder's parameters those of this one.

        What does not fit is an error: MMEngine would only warn, and train from weights that are random in part.
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
        own = {prefix + name: tuple(value.shape) for name, value in self.state_dict().items()}
        given = {name: tuple(value.shape) for name, value in state_dict.items() if name.startswith(prefix)}
        wrong = sorted(name for name in own.keys() | given.keys() if own.get(name) != given.get(name))
        if wrong:
            lines = [f'{name}: {given.get(name, "missing")}, expected {own.get(name, "none")}' for name in wrong[:5]]
            raise ValueError(
                f'the checkpoint does not fit the encoder in {len(wrong)} parameters: {"; ".join(lines)}. Set the arch '
                'and patch_size that it was trained with; convert the weights of other code with '
                'tools/model_converters/convert.py'
            )
