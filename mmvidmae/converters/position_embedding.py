"""Position embeddings for another input size, and folding of frame identity embeddings."""

import torch
from mmpretrain.models.utils import resize_pos_embed
from torch import Tensor

from mmvidmae.models.layers.position_embedding import interpolate_pos_embed_dino

from .key_maps import StateDict

POS_INTERP = ('size', 'dino')


def interpolate_pos_embed(
    pos_embed: Tensor, grid: tuple[int, int], new_grid: tuple[int, int], num_extra_tokens: int, mode: str = 'size'
) -> Tensor:
    """Interpolate a position embedding to another patch grid (bicubic).

    Args:
        pos_embed: Embedding ``(1, extra + rows * columns, D)``.
        grid: Its patch grid (rows, columns).
        new_grid: Target grid.
        num_extra_tokens: Number of class tokens in front, which do not change.
        mode: ``'size'`` as in mmpretrain and MAE, or ``'dino'`` as in DINO, CropMAE and CatMAE, see
            :func:`interpolate_pos_embed_dino`.

    Returns:
        ``(1, extra + new rows * new columns, D)``.

    Raises:
        ValueError: If the mode is unknown.
    """
    if mode not in POS_INTERP:
        raise ValueError(f'mode must be one of {", ".join(POS_INTERP)}, got {mode!r}')
    if mode == 'size' or tuple(grid) == tuple(new_grid):
        return resize_pos_embed(pos_embed, grid, new_grid, num_extra_tokens=num_extra_tokens)
    extra, patches = pos_embed[:, :num_extra_tokens], pos_embed[:, num_extra_tokens:]
    patches = interpolate_pos_embed_dino(patches.float(), grid, new_grid)  # half precision as in resize_pos_embed
    return torch.cat((extra, patches.to(pos_embed.dtype)), dim=1)


def fold_identity(state: StateDict, frame: int) -> StateDict:
    """Add the identity embedding of a frame to the position embedding of an encoder.

    Args:
        state: State dict of an encoder with our names.
        frame: 0 (the earlier frame in pre-training, the search region in DropTrack) or 1 (the later frame, the
            template).

    Returns:
        Parameters without ``backbone.frame_embed``. A class token does not change.

    Raises:
        KeyError: If the encoder has no identity embeddings.
    """
    state = dict(state)
    identity = state.pop('backbone.frame_embed')[:, frame]
    extra = int('backbone.cls_token' in state)
    pos_embed = state['backbone.pos_embed']
    state['backbone.pos_embed'] = torch.cat((pos_embed[:, :extra], pos_embed[:, extra:] + identity), dim=1)
    return state
