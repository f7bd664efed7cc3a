"""Position embeddings for another input size, and frame identities for code that has none."""

import torch
import torch.nn.functional as F
from mmpretrain.models.utils import resize_pos_embed
from torch import Tensor

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
    factors = tuple((new + 0.1) / old for new, old in zip(new_grid, grid))
    # The factor itself has to reach the kernel: with a size, PyTorch would use the exact ratio. As in resize_pos_embed,
    # half precision is interpolated in single.
    image = patches.unflatten(1, grid).permute(0, 3, 1, 2).float()
    image = F.interpolate(image, scale_factor=factors, mode='bicubic')
    return torch.cat((extra, image.flatten(2).transpose(1, 2).to(pos_embed.dtype)), dim=1)


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
