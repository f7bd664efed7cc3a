"""Mask prediction from query tokens: DropSeg's pyramid and STCN's decoder."""

from collections.abc import Sequence

import torch.nn.functional as F
from mmengine.model import BaseModule
from mmpretrain.models.utils import LayerNorm2d
from torch import Tensor, nn

from mmvidmae.registry import MODELS

from ..layers import require, require_whole


@MODELS.register_module()
class DeconvPyramid(BaseModule):
    """Feature pyramid of a patch map, with maps at twice and four times its resolution from transposed convolutions.

    Args:
        in_channels: Channels D of the patch map.
        channels: Channels of the maps at twice and four times the resolution.
        init_cfg: Initialization config of MMEngine.
    """

    def __init__(self, in_channels: int, channels: Sequence[int] = (512, 256), init_cfg: dict | None = None) -> None:
        super().__init__(init_cfg)
        _check_channels(self, in_channels, channels)
        self.channels = tuple(channels)
        self.up2 = nn.ConvTranspose2d(in_channels, channels[0], 2, 2)
        self.up4 = nn.Sequential(
            nn.ConvTranspose2d(in_channels, in_channels, 2, 2),
            LayerNorm2d(in_channels, eps=1e-6),
            nn.GELU(),
            nn.ConvTranspose2d(in_channels, channels[1], 2, 2),
        )

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Map ``(N, D, h, w)`` to itself, ``(N, C, 2 h, 2 w)`` and ``(N, C', 4 h, 4 w)``."""
        return x, self.up2(x), self.up4(x)


@MODELS.register_module()
class MaskDecoder(BaseModule):
    """Decoder of STCN (arXiv:2106.05210): residual blocks from the coarsest to the finest map.

    Args:
        in_channels: Channels D of the coarsest map.
        channels: Channels of the two finer maps, as in :class:`DeconvPyramid`.
        patch_size: Side in pixels of a cell of the coarsest map; 16 in the paper.
        init_cfg: Initialization config of MMEngine.
    """

    def __init__(
        self,
        in_channels: int,
        channels: Sequence[int] = (512, 256),
        patch_size: int = 16,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        _check_channels(self, in_channels, channels)
        self.channels = tuple(channels)
        require_whole(self, patch_size=patch_size)
        self.patch_size = patch_size
        fine, finest = channels
        self.compress = _ResidualBlock(in_channels, fine)
        self.skips = nn.ModuleList(nn.Conv2d(width, width, 3, padding=1) for width in (fine, finest))
        self.blocks = nn.ModuleList((_ResidualBlock(fine, finest), _ResidualBlock(finest, finest)))
        self.pred = nn.Conv2d(finest, 1, 3, padding=1)

    def forward(self, maps: tuple[Tensor, Tensor, Tensor]) -> Tensor:
        """Predict logits ``(N, H, W)`` at the frame's size from the maps of :class:`DeconvPyramid`."""
        coarsest, *finer = maps
        x = self.compress(coarsest)
        for skip, block, fine in zip(self.skips, self.blocks, finer):
            x = block(skip(fine) + _enlarge(x, 2))
        return _enlarge(self.pred(F.relu(x)), self.patch_size / 4)[:, 0]


class _ResidualBlock(nn.Module):
    """Two convolutions, each after a ReLU, with a shortcut that is the identity or a convolution."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, padding=1)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1)
        self.shortcut = nn.Identity()
        if in_channels != out_channels:
            self.shortcut = nn.Conv2d(in_channels, out_channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.shortcut(x) + self.conv2(F.relu(self.conv1(F.relu(x))))


def _check_channels(part: nn.Module, in_channels: int, channels: Sequence[int]) -> None:
    require_whole(part, in_channels=in_channels)
    right = len(channels) == 2 and all(isinstance(width, int) and width > 0 for width in channels)
    require(right, part, 'channels', channels, 'two positive whole numbers')


def _enlarge(x: Tensor, factor: float) -> Tensor:
    return F.interpolate(x, scale_factor=factor, mode='bilinear', align_corners=False)
