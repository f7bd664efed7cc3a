"""Which patches of a frame pair are hidden from the encoder.

A masking maps uniform noise to a tuple of :class:`TokenMask`, one for each group of tokens that is shuffled together: a
single group of ``2 L`` tokens when both frames are masked jointly, or two groups of ``L`` tokens, frame 0 and frame 1,
when each frame has its own count.
"""

from abc import abstractmethod
from collections.abc import Sequence
from typing import NamedTuple

import torch
from mmengine.model import BaseModule
from torch import Tensor

from mmvidmae.registry import MODELS

from ..layers.arguments import require, require_share


class TokenMask(NamedTuple):
    """The hidden and visible tokens of one group of ``S`` tokens, in N samples.

    Attributes:
        ids_keep: ``(N, K)`` int64, indices of the visible tokens, in the order in which the encoder sees them.
        ids_restore: ``(N, S)`` int64, rank of each token in the order (visible tokens, hidden tokens).
        mask: ``(N, S)`` float32, 1 where the token is hidden.
    """

    ids_keep: Tensor
    ids_restore: Tensor
    mask: Tensor

    def visible(self, tokens: Tensor) -> Tensor:
        """Pick the visible ones of ``tokens (N, S, D)``: ``(N, K, D)``."""
        return tokens.gather(1, self.ids_keep[..., None].expand(-1, -1, tokens.shape[-1]))

    def restore(self, visible: Tensor, mask_token: Tensor) -> Tensor:
        """Put ``visible (N, K, D)`` back in place, ``mask_token (1, 1, D)`` elsewhere: ``(N, S, D)``."""
        num, total = self.ids_restore.shape
        hidden = mask_token.to(visible.dtype).expand(num, total - visible.shape[1], -1)
        tokens = torch.cat((visible, hidden), dim=1)
        return tokens.gather(1, self.ids_restore[..., None].expand(-1, -1, tokens.shape[-1]))


def mask_by_noise(noise: Tensor, num_keep: int) -> TokenMask:
    """Keep the ``num_keep`` tokens with the smallest noise of each sample, as MAE does.

    Args:
        noise: ``(N, S)``, without ties.
        num_keep: Visible tokens, 1 to S. With all S of them, the tokens stay in their order.

    Raises:
        ValueError: If ``num_keep`` is out of range.
    """
    if not 0 < num_keep <= noise.shape[1]:
        raise ValueError(
            f'{num_keep} of {noise.shape[1]} tokens would be visible: change the mask ratio or use a larger input'
        )
    if num_keep == noise.shape[1]:
        ids = torch.arange(num_keep, device=noise.device).expand_as(noise)
        return TokenMask(ids, ids, torch.zeros_like(noise, dtype=torch.float32))
    ids_shuffle = noise.argsort(dim=1)
    ids_restore = ids_shuffle.argsort(dim=1)
    return TokenMask(ids_shuffle[:, :num_keep], ids_restore, (ids_restore >= num_keep).float())


def count_visible(num_tokens: int, mask_ratio: float) -> int:
    """Visible tokens: ``int(num_tokens (1 - ratio))``, truncated in double precision like the authors' code."""
    return int(num_tokens * (1 - mask_ratio))


class PairMasking(BaseModule):
    """Base of the masking strategies; a subclass implements :meth:`forward`.

    Attributes:
        num_groups: 1 when both frames are shuffled together, 2 when each frame has a fixed number of visible tokens
            (what a siamese encoder and a cross decoder need).
    """

    num_groups = 2

    @property
    def hides(self) -> tuple[bool, bool]:
        """Whether tokens of frame 0 and of frame 1 are hidden."""
        return True, True

    @abstractmethod
    def forward(self, noise: Tensor, grid: tuple[int, int]) -> tuple[TokenMask, ...]:
        """Choose the hidden tokens.

        Args:
            noise: Uniform in [0, 1), ``(N, 2 L)``, frame 0 first. The same noise gives the same masks.
            grid: Patches of a frame (rows, columns), ``L = rows * columns``.

        Returns:
            ``num_groups`` masks.
        """


@MODELS.register_module()
class JointRandomMasking(PairMasking):
    """Random masking over the tokens of both frames together (DropMAE and TwinMAE).

    The number of visible tokens is fixed for the pair and varies between its frames.

    Args:
        mask_ratio: Share of hidden tokens, in [0, 1).
    """

    num_groups = 1

    def __init__(self, mask_ratio: float = 0.75) -> None:
        super().__init__()
        require_share(self, mask_ratio=mask_ratio)
        self.mask_ratio = mask_ratio

    @property
    def hides(self) -> tuple[bool, bool]:
        return (self.mask_ratio > 0,) * 2

    def forward(self, noise: Tensor, grid: tuple[int, int]) -> tuple[TokenMask, ...]:
        return (mask_by_noise(noise, count_visible(noise.shape[1], self.mask_ratio)),)


@MODELS.register_module()
class AsymmetricMasking(PairMasking):
    """Random masking with a ratio for each frame (SiamMAE: the past frame is whole, 95 % of the future frame is
    hidden).

    Args:
        mask_ratio: Shares of hidden tokens of frame 0 and frame 1, in [0, 1).
    """

    def __init__(self, mask_ratio: Sequence[float] = (0.0, 0.95)) -> None:
        super().__init__()
        right = isinstance(mask_ratio, Sequence) and len(mask_ratio) == 2
        require(right, self, 'mask_ratio', mask_ratio, 'one share for each of the two frames')
        for ratio in mask_ratio:
            require_share(self, mask_ratio=ratio)
        self.mask_ratio = tuple(mask_ratio)

    @property
    def hides(self) -> tuple[bool, bool]:
        past, future = self.mask_ratio
        return past > 0, future > 0

    def forward(self, noise: Tensor, grid: tuple[int, int]) -> tuple[TokenMask, ...]:
        frames = zip(noise.chunk(2, dim=1), self.mask_ratio)
        return tuple(mask_by_noise(part, count_visible(part.shape[1], ratio)) for part, ratio in frames)


@MODELS.register_module()
class PerFrameRandomMasking(AsymmetricMasking):
    """Random masking with the same ratio in each frame, so that both have equally many visible tokens.

    Args:
        mask_ratio: Share of hidden tokens of each frame, in [0, 1).
    """

    def __init__(self, mask_ratio: float = 0.75) -> None:
        super().__init__((mask_ratio, mask_ratio))


@MODELS.register_module()
class GridMasking(PairMasking):
    """Regular masking: one visible patch in each cell of ``stride x stride`` patches, at an offset drawn for each
    sample.

    MAE's grid sampling (arXiv 2111.06377, figure 6) is stride 2, that is 75 % hidden; SiamMAE ablates random against
    grid masking of the future frame. Patches beyond the last whole cell are hidden.

    Args:
        stride: Patches a cell side, one number for both frames or one for each; 1 leaves a frame whole.
    """

    def __init__(self, stride: int | Sequence[int] = (1, 2)) -> None:
        super().__init__()
        self.stride = (stride, stride) if isinstance(stride, int) else tuple(stride)
        right = len(self.stride) == 2 and all(isinstance(number, int) and number > 0 for number in self.stride)
        require(right, self, 'stride', stride, 'a positive whole number, or one for each of the two frames')

    @property
    def hides(self) -> tuple[bool, bool]:
        past, future = self.stride
        return past > 1, future > 1

    def forward(self, noise: Tensor, grid: tuple[int, int]) -> tuple[TokenMask, ...]:
        return tuple(self._mask_frame(part, grid, stride) for part, stride in zip(noise.chunk(2, dim=1), self.stride))

    @staticmethod
    def _mask_frame(noise: Tensor, grid: tuple[int, int], stride: int) -> TokenMask:
        if min(grid) < stride:
            raise ValueError(f'a grid of {grid[0]} x {grid[1]} patches holds no cell of stride {stride}')
        on_axis = []
        for axis, size in enumerate(grid):  # two numbers of the noise place the lattice, all of it orders the tokens
            step = torch.arange(size, device=noise.device) - (noise[:, axis, None] * stride).long()
            on_axis.append((step >= 0) & (step % stride == 0) & (step < stride * (size // stride)))
        on_grid = (on_axis[0][:, :, None] & on_axis[1][:, None, :]).flatten(1)
        return mask_by_noise(noise + (~on_grid).to(noise.dtype), (grid[0] // stride) * (grid[1] // stride))
