"""Masking in rectangular blocks, for encoders that replace hidden patches by a mask token."""

import math
from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch
from mmengine.model import BaseModule
from torch import Tensor

from mmvidmae.registry import MODELS

from ..layers.arguments import require, require_share, require_whole


class Draws(Protocol):
    """Source of random numbers, such as ``numpy.random.Generator``."""

    def uniform(self, low: float, high: float) -> float:
        """Draw a number from [low, high)."""

    def integers(self, low: int, high: int) -> int:
        """Draw an integer from [low, high)."""


@MODELS.register_module()
class BlockMasking(BaseModule):
    """Block masking of a share of the crops of a batch (T-CoRe, iBOT, DINOv2).

    Of C crops, ``int(share * C)`` are masked. Their mask ratios lie in consecutive slices of equal width of ``ratio``,
    one crop in each slice. Crops are then shuffled. In a masked crop, rectangles of random area and aspect ratio are
    hidden until the number of hidden patches is reached. All draws follow from the seeds.

    Args:
        share: Share of the crops that are masked, in (0, 1].
        ratio: Smallest and largest share of hidden patches of a masked crop.
        min_patches: Smallest area of a rectangle in patches, before rounding.
        min_aspect: Smallest ratio of height to width of a rectangle. The largest is its inverse.

    Raises:
        ValueError: If a value is out of range.

    Source: ``yafeng19/T-CORE@67c8bf9:base_model/data/masking.py:6-75``, ``@40f378f:base_model/data/collate.py:5-29``.
    """

    def __init__(
        self,
        share: float = 0.5,
        ratio: Sequence[float] = (0.1, 0.5),
        min_patches: int = 4,
        min_aspect: float = 0.3,
    ) -> None:
        super().__init__()
        require_share(self, one=True, share=share)
        require(share > 0, self, 'share', share, 'above 0: no crop would be masked')
        low, high = ratio
        require(0 < low <= high < 1, self, 'ratio', ratio, 'two shares (low, high) in (0, 1)')
        require_whole(self, min_patches=min_patches)
        require(0 < min_aspect <= 1, self, 'min_aspect', min_aspect, 'in (0, 1]')
        self.share = share
        self.ratio = (low, high)
        self.min_patches = min_patches
        self.log_aspect = (math.log(min_aspect), math.log(1 / min_aspect))

    def forward(self, seeds: Sequence[int], num_crops: int, grid: tuple[int, int]) -> Tensor:
        """Choose the hidden patches of a batch.

        Args:
            seeds: Whole numbers that determine all draws, such as those of the batch's samples.
            num_crops: Number C of crops.
            grid: Patch grid of a crop (rows, columns), L patches.

        Returns:
            Boolean mask ``(C, L)`` on the CPU, True where a patch is hidden.
        """
        rng = np.random.default_rng(list(seeds))
        num_masked = max(1, int(num_crops * self.share))
        edges = np.linspace(*self.ratio, num_masked + 1)
        num_patches = grid[0] * grid[1]
        masks = np.zeros((num_crops, *grid), dtype=bool)
        for mask, low, high in zip(masks, edges[:-1], edges[1:]):
            mask[:] = self.draw_blocks(int(num_patches * rng.uniform(low, high)), grid, rng)
        return torch.from_numpy(rng.permutation(masks)).flatten(1)

    def draw_blocks(self, count: int, grid: tuple[int, int], rng: Draws) -> np.ndarray:
        """Draw the blocks of one crop.

        Args:
            count: Number of patches to hide. Exactly as many are hidden.
            grid: Patch grid (rows, columns).
            rng: Source of the draws. An attempt draws area and logarithm of height / width, and, if the rectangle is
                smaller than the grid in both directions, top and left.

        Returns:
            Boolean mask of the shape of ``grid``.

        Raises:
            ValueError: If no block fits, because the grid is too small for ``min_patches``.
        """
        mask = np.zeros(grid, dtype=bool)
        left_over = count
        failures = 0
        while left_over > 0:
            height, width = self._draw_size(left_over, rng)
            added = 0
            if height < grid[0] and width < grid[1]:
                top = int(rng.integers(0, grid[0] - height + 1))
                left = int(rng.integers(0, grid[1] - width + 1))
                block = mask[top : top + height, left : left + width]
                added = block.size - int(block.sum())
                if added <= left_over:
                    block[:] = True
                else:
                    added = 0
            left_over -= added
            failures = 0 if added else failures + 1
            if failures == 10_000:
                raise ValueError(
                    f'BlockMasking: no block fits into {grid[0]} x {grid[1]} patches: use a smaller min_patches '
                    f'({self.min_patches}) or larger crops'
                )
        return mask

    def _draw_size(self, largest: int, rng: Draws) -> tuple[int, int]:
        """Draw height and width of a rectangle of at most ``largest`` patches, before rounding."""
        area = rng.uniform(min(self.min_patches, largest), max(self.min_patches, largest))
        aspect = math.exp(rng.uniform(*self.log_aspect))
        return round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
