"""Fixed 2-D sine-cosine position embedding of MAE and its descendants."""

import torch
from torch import Tensor


def build_2d_sincos_pos_embed(grid: tuple[int, int], dims: int, cls_token: bool = False) -> Tensor:
    """Position embedding of a grid of patches, as in the authors' code of MAE, DropMAE and CropMAE.

    The first half of the channels encodes the column, the second half the row; inside a half come the sines, then the
    cosines, of frequencies ``10000 ** (-k / (dims / 4))``. mmpretrain's function of the same purpose encodes the row
    first, so it is not used here.

    Args:
        grid: Number of patches (rows, columns).
        dims: Channels, divisible by 4.
        cls_token: Whether to put a row of zeros in front for the class token.

    Returns:
        Tensor of shape ``(1, rows * columns (+ 1), dims)``, float32, computed in double precision.

    Raises:
        ValueError: If ``dims`` is not divisible by 4.
    """
    if dims % 4:
        raise ValueError(f'a 2-D sine-cosine position embedding needs a width divisible by 4, got {dims}')
    omega = 10000.0 ** -(torch.arange(dims // 4, dtype=torch.float64) / (dims // 4))
    rows, cols = (torch.arange(n, dtype=torch.float64)[:, None] * omega for n in grid)
    rows, cols = (torch.cat((angle.sin(), angle.cos()), dim=1) for angle in (rows, cols))
    embed = torch.cat((cols[None].expand(grid[0], -1, -1), rows[:, None].expand(-1, grid[1], -1)), dim=2).flatten(0, 1)
    if cls_token:
        embed = torch.cat((embed.new_zeros(1, dims), embed))
    return embed.float()[None]
