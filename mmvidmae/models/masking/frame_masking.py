"""Masking strategies for the T frames of a clip. A pair is T = 2.

A masking maps uniform noise to a tuple of :class:`TokenMask`, one for each group of tokens that is shuffled together.
Joint masking has a single group of ``T L`` tokens. Maskings with a fixed number of visible tokens per frame have T
groups of ``L`` tokens.
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
    """Hidden and visible tokens of one group of ``S`` tokens, for N samples.

    Attributes:
        ids_keep: Indices of the visible tokens in encoder order, ``(N, K)`` int64.
        ids_restore: Rank of each token in the order (visible tokens, hidden tokens), ``(N, S)`` int64.
        mask: Mask ``(N, S)`` float32, 1 where the token is hidden.
    """

    ids_keep: Tensor
    ids_restore: Tensor
    mask: Tensor

    def visible(self, tokens: Tensor) -> Tensor:
        """Select the visible tokens ``(N, K, D)`` from ``tokens (N, S, D)``."""
        return tokens.gather(1, self.ids_keep[..., None].expand(-1, -1, tokens.shape[-1]))

    def restore(self, visible: Tensor, mask_token: Tensor) -> Tensor:
        """Restore the token order: ``visible (N, K, D)`` at visible positions, ``mask_token (1, 1, D)`` elsewhere.
        Returns ``(N, S, D)``."""
        num, total = self.ids_restore.shape
        hidden = mask_token.to(visible.dtype).expand(num, total - visible.shape[1], -1)
        tokens = torch.cat((visible, hidden), dim=1)
        return tokens.gather(1, self.ids_restore[..., None].expand(-1, -1, tokens.shape[-1]))


def mask_by_noise(noise: Tensor, num_keep: int) -> TokenMask:
    """Keep the ``num_keep`` tokens with the smallest noise of each sample, as MAE does.

    Args:
        noise: Noise ``(N, S)`` without ties.
        num_keep: Number of visible tokens, 1 to S. If all S are visible, their order does not change.

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
    """Number of visible tokens: ``int(num_tokens (1 - ratio))``, truncated in double precision as in the authors'
    code."""
    return int(num_tokens * (1 - mask_ratio))


class FrameMasking(BaseModule):
    """Base class of masking strategies. A subclass implements :meth:`forward`.

    Attributes:
        joint: Whether the tokens of all frames are shuffled together. Otherwise each frame has a fixed number of
            visible tokens, which a siamese encoder and a cross decoder need.
        num_frames: Number T of frames that the masking is made for. None accepts any number.
    """

    joint = False
    num_frames: int | None = None

    @abstractmethod
    def hides(self, frame: int) -> bool:
        """Whether tokens of a frame (0 is the first) are hidden."""

    @abstractmethod
    def forward(self, noise: Tensor, grid: tuple[int, int]) -> tuple[TokenMask, ...]:
        """Choose the hidden tokens.

        Args:
            noise: Uniform noise ``(N, T L)`` in [0, 1), frame 0 first. Equal noise gives equal masks.
            grid: Patch grid of a frame (rows, columns), ``L = rows * columns``.

        Returns:
            One mask of all frames for joint masking, otherwise T masks.
        """

    def split(self, noise: Tensor, grid: tuple[int, int]) -> tuple[Tensor, ...]:
        """Split the noise of a clip ``(N, T L)`` into that of its frames, ``(N, L)`` each.

        Raises:
            ValueError: If the masking is made for another number of frames.
        """
        frames = noise.split(grid[0] * grid[1], dim=1)
        if self.num_frames not in (None, len(frames)):
            raise ValueError(f'{type(self).__name__} is for clips of {self.num_frames} frames, got {len(frames)}')
        return frames


@MODELS.register_module()
class JointRandomMasking(FrameMasking):
    """Random masking of the tokens of all frames together (DropMAE and TwinMAE).

    The number of visible tokens is fixed for the clip, but not for each frame.

    Args:
        mask_ratio: Share of hidden tokens, in [0, 1).
    """

    joint = True

    def __init__(self, mask_ratio: float = 0.75) -> None:
        super().__init__()
        require_share(self, mask_ratio=mask_ratio)
        self.mask_ratio = mask_ratio

    def hides(self, frame: int) -> bool:
        return self.mask_ratio > 0

    def forward(self, noise: Tensor, grid: tuple[int, int]) -> tuple[TokenMask, ...]:
        return (mask_by_noise(noise, count_visible(noise.shape[1], self.mask_ratio)),)


@MODELS.register_module()
class AsymmetricMasking(FrameMasking):
    """Random masking with a separate ratio for each frame. SiamMAE hides nothing of the past frame and 95 % of the
    future frame.

    Args:
        mask_ratio: Share of hidden tokens of each frame, in [0, 1).
    """

    def __init__(self, mask_ratio: Sequence[float] = (0.0, 0.95)) -> None:
        super().__init__()
        right = isinstance(mask_ratio, Sequence) and not isinstance(mask_ratio, str) and len(mask_ratio) > 0
        require(right, self, 'mask_ratio', mask_ratio, 'one share for each frame')
        for ratio in mask_ratio:
            require_share(self, mask_ratio=ratio)
        self.mask_ratio = tuple(mask_ratio)
        self.num_frames = len(mask_ratio)

    def hides(self, frame: int) -> bool:
        return self.mask_ratio[frame] > 0

    def forward(self, noise: Tensor, grid: tuple[int, int]) -> tuple[TokenMask, ...]:
        frames = zip(self.split(noise, grid), self.mask_ratio)
        return tuple(mask_by_noise(frame, count_visible(frame.shape[1], ratio)) for frame, ratio in frames)


@MODELS.register_module()
class PerFrameRandomMasking(FrameMasking):
    """Random masking with the same ratio in each frame. All frames have the same number of visible tokens.

    Args:
        mask_ratio: Share of hidden tokens of each frame, in [0, 1).
    """

    def __init__(self, mask_ratio: float = 0.75) -> None:
        super().__init__()
        require_share(self, mask_ratio=mask_ratio)
        self.mask_ratio = mask_ratio

    def hides(self, frame: int) -> bool:
        return self.mask_ratio > 0

    def forward(self, noise: Tensor, grid: tuple[int, int]) -> tuple[TokenMask, ...]:
        frames = self.split(noise, grid)
        return tuple(mask_by_noise(frame, count_visible(frame.shape[1], self.mask_ratio)) for frame in frames)


@MODELS.register_module()
class GridMasking(FrameMasking):
    """Grid masking: one visible patch in each cell of ``stride x stride`` patches, at a random offset per sample.

    MAE's grid sampling (arXiv 2111.06377, figure 6) has stride 2, which hides 75 %. SiamMAE compares random and grid
    masking of the future frame. Patches beyond the last complete cell are hidden.

    Args:
        stride: Patches per cell side, one number for all frames or one for each. 1 hides nothing.
    """

    def __init__(self, stride: int | Sequence[int] = (1, 2)) -> None:
        super().__init__()
        strides = (stride,) if isinstance(stride, int) else tuple(stride)
        right = len(strides) > 0 and all(isinstance(number, int) and number > 0 for number in strides)
        require(right, self, 'stride', stride, 'a positive whole number, or one for each frame')
        self.stride = stride if isinstance(stride, int) else strides
        self.num_frames = None if isinstance(stride, int) else len(strides)

    def hides(self, frame: int) -> bool:
        return (self.stride if isinstance(self.stride, int) else self.stride[frame]) > 1

    def forward(self, noise: Tensor, grid: tuple[int, int]) -> tuple[TokenMask, ...]:
        frames = self.split(noise, grid)
        strides = (self.stride,) * len(frames) if isinstance(self.stride, int) else self.stride
        return tuple(self._mask_frame(frame, grid, stride) for frame, stride in zip(frames, strides))

    @staticmethod
    def _mask_frame(noise: Tensor, grid: tuple[int, int], stride: int) -> TokenMask:
        if min(grid) < stride:
            raise ValueError(f'a grid of {grid[0]} x {grid[1]} patches holds no cell of stride {stride}')
        on_axis = []
        for axis, size in enumerate(grid):  # two noise values set the offset of the grid, all of them order the tokens
            step = torch.arange(size, device=noise.device) - (noise[:, axis, None] * stride).long()
            on_axis.append((step >= 0) & (step % stride == 0) & (step < stride * (size // stride)))
        on_grid = (on_axis[0][:, :, None] & on_axis[1][:, None, :]).flatten(1)
        return mask_by_noise(noise + (~on_grid).to(noise.dtype), (grid[0] // stride) * (grid[1] // stride))
