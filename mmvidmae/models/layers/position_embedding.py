"""Fixed 2-D sine-cosine position embedding of MAE and derived methods."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor


def build_2d_sincos_pos_embed(grid: tuple[int, int], dims: int, cls_token: bool = False) -> Tensor:
    """Build the position embedding of a patch grid, as in the authors' code of MAE, DropMAE and CropMAE.

    The first half of the channels encodes the column, the second half the row. Each half has the sines first, then the
    cosines, of frequencies ``10000 ** (-k / (dims / 4))``. mmpretrain's function encodes the row first, so it is not
    used here.

    Args:
        grid: Number of patches (rows, columns).
        dims: Number of channels, divisible by 4.
        cls_token: Whether to prepend a row of zeros for the class token.

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


def build_1d_sincos_pos_embed(num_tokens: int, dims: int, cls_token: bool = False) -> Tensor:
    """Build the position embedding of a sequence, which RVM uses for the patches of a grid in row-major order.

    Channel 2 i is the sine and channel 2 i + 1 the cosine of ``position / 10000 ** (2 i / dims)``.

    Args:
        num_tokens: Number of tokens.
        dims: Number of channels, even.
        cls_token: Whether to prepend a row of zeros for the class token.

    Returns:
        Tensor of shape ``(1, num_tokens (+ 1), dims)``, float32, computed in double precision.

    Source: ``google-deepmind/representations4d@75aca30:colabs/rvm_inference_demo.ipynb``, cell "Define model".
    """
    omega = 10000.0 ** -(torch.arange(0, dims, 2, dtype=torch.float64) / dims)
    angle = torch.arange(num_tokens, dtype=torch.float64)[:, None] * omega
    embed = torch.stack((angle.sin(), angle.cos()), dim=2).flatten(1)
    if cls_token:
        embed = torch.cat((embed.new_zeros(1, dims), embed))
    return embed.float()[None]


def interpolate_pos_embed_size(
    pos_embed: Tensor, grid: tuple[int, int], new_grid: tuple[int, int], mode: str = 'bicubic'
) -> Tensor:
    """Interpolate a position embedding to another grid, as mmpretrain and MAE do.

    Args:
        pos_embed: Embedding ``(1, rows * columns, D)`` without a class token.
        grid: Grid (rows, columns) of ``pos_embed``.
        new_grid: Target grid. If it equals ``grid``, ``pos_embed`` is returned unchanged.
        mode: Mode of ``torch.nn.functional.interpolate``.

    Returns:
        Embedding ``(1, new rows * new columns, D)``.
    """
    if _same_grid(grid, new_grid):
        return pos_embed
    maps = pos_embed.mT.unflatten(2, tuple(grid)).float()
    maps = F.interpolate(maps, size=tuple(new_grid), mode=mode, align_corners=False)
    return maps.flatten(2).mT.to(pos_embed.dtype)


def interpolate_pos_embed_dino(pos_embed: Tensor, grid: tuple[int, int], new_grid: tuple[int, int]) -> Tensor:
    """Interpolate a position embedding to another grid with the scale of DINO's and derived code.

    DINO adds 0.1 to each side of the new grid before the division, to avoid rounding down. The resulting scale of the
    bicubic interpolation shifts each sampling point by up to 0.1 / ``new_grid`` of a cell. Published numbers of DINO's
    and CropMAE's evaluation include this shift.

    Args:
        pos_embed: Embedding ``(1, rows * columns, D)`` without a class token.
        grid: Grid (rows, columns) of ``pos_embed``.
        new_grid: Target grid. If it equals ``grid``, ``pos_embed`` is returned unchanged.

    Returns:
        Embedding ``(1, new rows * new columns, D)``.

    Source: ``interpolate_pos_encoding`` of DINO.
    """
    if _same_grid(grid, new_grid):
        return pos_embed
    scale = [float((new + 0.1) / old) for new, old in zip(new_grid, grid)]
    maps = pos_embed.mT.unflatten(2, tuple(grid))
    return F.interpolate(maps, scale_factor=scale, mode='bicubic').flatten(2).mT


def interpolate_pos_embed_antialiased(pos_embed: Tensor, grid: tuple[int, int], new_grid: tuple[int, int]) -> Tensor:
    """Interpolate a position embedding to another grid, bicubic with antialiasing, as T-CoRe and JAX (RVM) do.

    With antialiasing, PyTorch uses the coefficient of Keys' kernel, -0.5, also to enlarge.

    Args:
        pos_embed: Embedding ``(1, rows * columns, D)`` without a class token.
        grid: Grid (rows, columns) of ``pos_embed``.
        new_grid: Target grid. If it equals ``grid``, ``pos_embed`` is returned unchanged.

    Returns:
        Embedding ``(1, new rows * new columns, D)``.
    """
    if _same_grid(grid, new_grid):
        return pos_embed
    maps = pos_embed.mT.unflatten(2, tuple(grid)).to(torch.promote_types(pos_embed.dtype, torch.float32))
    maps = F.interpolate(maps, size=tuple(new_grid), mode='bicubic', antialias=True)
    return maps.flatten(2).mT.to(pos_embed.dtype)


def square_grid(num_patches: int) -> tuple[int, int] | None:
    """Square grid with a number of patches, or None if the number is not a square."""
    side = math.isqrt(num_patches)
    return (side, side) if side * side == num_patches else None


def _same_grid(grid: tuple[int, int], new_grid: tuple[int, int]) -> bool:
    """Whether two grids are equal. Sizes that an export leaves open are no integers, and never equal: the graph always
    interpolates."""
    return all(isinstance(new, int) and new == old for old, new in zip(grid, new_grid, strict=True))
