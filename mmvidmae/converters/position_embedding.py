"""Position embeddings for another input size, and frame identities for code that has none."""

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
        pos_embed: ``(1, extra + rows * columns, D)``.
        grid: Its patches (rows, columns).
        new_grid: Patches wanted.
        num_extra_tokens: Class tokens in front, which stay as they are.
        mode: ``'size'`` as mmpretrain and MAE do, or ``'dino'`` as DINO, CropMAE and CatMAE do: by the factors
            ``(rows + 0.1) / old rows`` and the like, which shifts the sampling points a little.

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
    """Add the identity embedding of a frame to the position embedding of an encoder, which then needs no identities.

    Args:
        state: An encoder with our names.
        frame: 0 (the earlier frame in pre-training, the search region in DropTrack) or 1 (the later frame, the
            template).

    Returns:
        The parameters without ``backbone.frame_embed``. The class token, where there is one, has no identity.

    Raises:
        KeyError: If the encoder has no identity embeddings.
    """
    state = dict(state)
    identity = state.pop('backbone.frame_embed')[:, frame]
    extra = int('backbone.cls_token' in state)
    pos_embed = state['backbone.pos_embed']
    state['backbone.pos_embed'] = torch.cat((pos_embed[:, :extra], pos_embed[:, extra:] + identity), dim=1)
    return state
