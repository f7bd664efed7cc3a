"""Uniform noise that depends only on the seed of a pair."""

import torch
from torch import Tensor

_GOLDEN_GAMMA = 0x9E3779B97F4A7C15 - 2**64
_MIX = ((30, 0xBF58476D1CE4E5B9 - 2**64), (27, 0x94D049BB133111EB - 2**64))


def seeded_uniform(seeds: Tensor, length: int) -> Tensor:
    """Generate uniform noise from one seed per row. It is the same on every device, in every batch and on every rank.

    The generator is counter-based: number j of a row is the j-th output of SplitMix64 (Steele, Lea and Flood, OOPSLA
    2014) with that row's seed. All rows are computed at once. Training draws masks from this noise, so they do not
    depend on batch size, workers or the number of processes.

    Args:
        seeds: Seeds ``(N,)`` int64.
        length: Numbers per row.

    Returns:
        Noise ``(N, length)`` float64 in [0, 1), with 53 random bits each.
    """

    def shift_right(x: Tensor, bits: int) -> Tensor:  # logical; torch shifts int64 arithmetically
        return (x >> bits) & ((1 << (64 - bits)) - 1)

    x = seeds[:, None] + _GOLDEN_GAMMA * torch.arange(1, length + 1, device=seeds.device)
    for bits, factor in _MIX:
        x = (x ^ shift_right(x, bits)) * factor
    return shift_right(x ^ shift_right(x, 31), 11).double() * 2.0**-53
