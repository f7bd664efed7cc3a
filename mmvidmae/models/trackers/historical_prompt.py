"""Historical prompt of HIPTrack: what earlier frames and predictions tell about the target (arXiv:2311.02072)."""

from itertools import pairwise

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmvidmae.registry import MODELS

from ..layers import require_whole


def read_memory(memory_key: Tensor, offset: Tensor, memory_value: Tensor, query_key: Tensor) -> Tensor:
    """Read a memory. A query weighs all memory cells by the softmax of their similarity, which is the negative squared
    distance of the keys divided by sqrt(K).

    Args:
        memory_key: Prepared keys ``(N, K, M)`` of M memory cells, see :func:`prepare_keys`.
        offset: Their offsets ``(N, M)``.
        memory_value: Values ``(N, V, M)``.
        query_key: Keys ``(N, K, h, w)`` of the query.

    Returns:
        Values ``(N, V, h, w)``.

    Source: WenRuiCai/HIPTrack@371b753:lib/models/hip/HistoricalPromptNetwork.py:102-134.
    """
    read = memory_affinity(memory_key, offset, query_key) @ memory_value.mT
    return read.mT.unflatten(2, query_key.shape[2:])


def memory_affinity(memory_key: Tensor, offset: Tensor, query_key: Tensor) -> Tensor:
    """Weights ``(N, h * w, M)`` of the memory cells, see :func:`read_memory`."""
    return torch.baddbmm(offset[:, None], query_key.flatten(2).mT, memory_key).softmax(-1)


def prepare_keys(key: Tensor) -> tuple[Tensor, Tensor]:
    """Prepare keys ``(N, K, ...)`` for reading, once per frame. The similarity to a query q is then
    ``prepared . q + offset``: the term of q alone does not change the softmax.

    Returns:
        Prepared keys ``(N, K, M)`` and offsets ``(N, M)``.
    """
    key = key.flatten(2)
    scale = key.shape[1] ** -0.5
    return 2 * scale * key, -scale * key.square().sum(1)


def target_mask(corners: Tensor, size: tuple[int, int], kept: Tensor | None = None) -> Tensor:
    """Foreground mask of predicted boxes, without the cells whose tokens were eliminated.

    Corners are truncated to whole pixels. As published, y1 is limited only from above and y2 only from below, x1 only
    from below and x2 only from above. Negative ends then count from the other end, as in a Python slice: a box across
    the upper border has a (mostly) empty mask, a box left of the region fills rows.

    Args:
        corners: Corners ``(N, 4)`` (x1, y1, x2, y2) in pixels, truncated already or not.
        size: (height, width) of the mask in pixels.
        kept: Whether cells were kept, ``(N, h, w)`` bool; None for all.

    Returns:
        Mask ``(N, height, width)`` bool.

    Source: ``generateMask``, WenRuiCai/HIPTrack@371b753:lib/models/hiptrack/hiptrack.py:408-441.
    """
    height, width = size
    x1, y1, x2, y2 = corners.long().unbind(1)
    rows = _slice(y1.clamp(max=height), y2.clamp(min=0), height)
    columns = _slice(x1.clamp(min=0), x2.clamp(max=width), width)
    mask = rows[:, :, None] & columns[:, None]
    if kept is not None:
        mask = mask & F.interpolate(kept[:, None].to(torch.uint8), size)[:, 0].bool()
    return mask


def _slice(start: Tensor, stop: Tensor, size: int) -> Tensor:
    """Whether the positions ``(N, size)`` are in ``[start:stop]`` of Python."""
    start, stop = (torch.where(end < 0, (end + size).clamp(min=0), end)[:, None] for end in (start, stop))
    position = torch.arange(size, device=start.device)
    return (position >= start) & (position < stop)


def kept_cells(kept: list[Tensor], grid: tuple[int, int]) -> Tensor | None:
    """Cells of the search region that were not eliminated, ``(N, h, w)`` bool.

    As published, eliminated tokens are cut out of masks only if every elimination removed some.

    Args:
        kept: Ids of the tokens that each elimination kept (:class:`OneStreamFeatures`).
        grid: Grid (h, w) of the search region.

    Returns:
        The cells, or None if nothing is to be cut out.
    """
    num_tokens = [grid[0] * grid[1], *(ids.shape[1] for ids in kept)]
    if not kept or any(after == before for before, after in pairwise(num_tokens)):
        return None
    cells = kept[-1].new_zeros(kept[-1].shape[0], num_tokens[0], dtype=torch.bool)
    return cells.scatter(1, kept[-1], True).unflatten(1, grid)


class ResidualBlock(nn.Module):
    """Pre-activation residual block of two 3x3 convolutions without normalization. If the width changes, the shortcut
    is a 3x3 convolution."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.shortcut = nn.Identity()
        if in_channels != out_channels:
            self.shortcut = nn.Conv2d(in_channels, out_channels, 3, padding=1)
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, padding=1)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(N, C, h, w)`` to ``(N, out_channels, h, w)``."""
        return self.shortcut(x) + self.conv2(F.relu(self.conv1(F.relu(x))))


class ConvBlockAttention(nn.Module):
    """Channel gate, then spatial gate (CBAM, arXiv:1807.06521, section 3).

    Args:
        channels: Width C of the input.
        reduction: The hidden width of the channel gate is C // reduction.
    """

    def __init__(self, channels: int, reduction: int = 16) -> None:
        super().__init__()
        hidden = channels // reduction
        self.channel_gate = nn.Sequential(nn.Linear(channels, hidden), nn.ReLU(), nn.Linear(hidden, channels))
        self.spatial_gate = nn.Conv2d(2, 1, 7, padding=3)

    def forward(self, x: Tensor) -> Tensor:
        """Scale features ``(N, C, h, w)``."""
        logits = self.channel_gate(x.mean((2, 3))) + self.channel_gate(x.amax((2, 3)))
        x = x * logits.sigmoid()[..., None, None]
        pooled = torch.cat((x.amax(1, keepdim=True), x.mean(1, keepdim=True)), dim=1)
        return x * self.spatial_gate(pooled).sigmoid()


class BasicBlock(nn.Module):
    """Block of ResNet-18 (arXiv:1512.03385) with biases in its convolutions."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride, 1)
        self.bn1 = nn.BatchNorm2d(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, 1, 1)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.downsample = nn.Identity()
        if stride > 1 or in_channels != out_channels:
            shortcut = nn.Conv2d(in_channels, out_channels, 1, stride)
            self.downsample = nn.Sequential(shortcut, nn.BatchNorm2d(out_channels))

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(N, C, h, w)`` to ``(N, out_channels, h / stride, w / stride)``."""
        out = F.relu(self.bn1(self.conv1(x)), inplace=True)
        return F.relu(self.bn2(self.conv2(out)) + self.downsample(x), inplace=True)


@MODELS.register_module()
class MaskedResNet(BaseModule):
    """ResNet-18 up to stride 16 over an image and a mask, as HIPTrack's memory encoder has it: its convolutions have
    biases, and the fourth input channel is the mask.

    A checkpoint of a plain ResNet-18 (``init_cfg=dict(type='Pretrained', checkpoint='torchvision://resnet18')``) is
    loaded with an orthogonal filter for the mask. Its last stage and classifier are ignored. The biases keep PyTorch's
    defaults.

    Args:
        base_channels: Width of the stem and of the first stage. The others double it.
        init_cfg: Initialization config of MMEngine.

    Source: WenRuiCai/HIPTrack@371b753:lib/models/hip/resnet.py:9-39, 117.
    """

    def __init__(self, base_channels: int = 64, init_cfg: dict | None = None) -> None:
        super().__init__(init_cfg)
        self.conv1 = nn.Conv2d(4, base_channels, 7, 2, 3)
        self.bn1 = nn.BatchNorm2d(base_channels)
        width = base_channels
        for stage in range(3):
            first = BasicBlock(width, base_channels << stage, 1 if stage == 0 else 2)
            width = base_channels << stage
            self.add_module(f'layer{stage + 1}', nn.Sequential(first, BasicBlock(width, width, 1)))
        self.out_channels = width
        self._register_load_state_dict_pre_hook(self._extend_stem)

    def forward(self, x: Tensor) -> Tensor:
        """Encode images with masks ``(N, 4, H, W)`` as features ``(N, 4 * base_channels, H / 16, W / 16)``."""
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(x)), inplace=True), 3, 2, 1)
        return self.layer3(self.layer2(self.layer1(x)))

    def _extend_stem(self, state_dict: dict[str, Tensor], prefix: str, *args) -> None:
        weight = state_dict.get(f'{prefix}conv1.weight')
        if weight is not None and weight.shape[1] == 3:
            mask = nn.init.orthogonal_(weight.new_empty(len(weight), 1, *weight.shape[2:]))
            state_dict[f'{prefix}conv1.weight'] = torch.cat((weight, mask), dim=1)


class MemoryEncoder(BaseModule):
    """Encoder of a memory frame: image and mask through a ResNet, fused with the features of the tracker's encoder.

    The ResNet has a stride of 16. For encoders of another patch size, image and mask are first resized to 16 pixels for
    each cell of the features.

    Args:
        embed_dims: Width D of the tracker's features.
        value_dims: Width V of the values.
        base_channels: Width of the ResNet's first stage.
        pretrained: Checkpoint of the ResNet, see :class:`MaskedResNet`.
    """

    def __init__(self, embed_dims: int, value_dims: int, base_channels: int, pretrained: str | None) -> None:
        super().__init__()
        init_cfg = None if pretrained is None else dict(type='Pretrained', checkpoint=pretrained)
        self.resnet = MaskedResNet(base_channels, init_cfg)
        self.block1 = ResidualBlock(embed_dims + self.resnet.out_channels, value_dims)
        self.attention = ConvBlockAttention(value_dims)
        self.block2 = ResidualBlock(value_dims, value_dims)

    def forward(self, image: Tensor, mask: Tensor, features: Tensor) -> Tensor:
        """Encode frames.

        Args:
            image: Normalized images ``(N, 3, H, W)``.
            mask: Foreground masks ``(N, H, W)``.
            features: Features ``(N, D, h, w)`` of the tracker's encoder.

        Returns:
            Values ``(N, V, h, w)``.
        """
        x = torch.cat((image, mask[:, None].to(image)), dim=1)
        size = tuple(16 * cells for cells in features.shape[2:])
        if x.shape[2:] != size:
            x = F.interpolate(x, size, mode='bilinear')
        x = self.resnet(x)
        x = self.block1(torch.cat((x, features), dim=1))
        return self.block2(x + self.attention(x))


@MODELS.register_module()
class HistoricalPrompt(BaseModule):
    """The trained parts of HIPTrack beside encoder and head.

    Args:
        embed_dims: Width D of the encoder. Prompt and features are added, so the values are D / 2 wide.
        key_dims: Width K of the keys.
        base_channels: Width of the first stage of the memory encoder's ResNet.
        pretrained: Checkpoint of the ResNet, such as ``'torchvision://resnet18'``; None for random weights.
        init_cfg: Initialization config of MMEngine.

    Raises:
        ValueError: If a value is out of range.

    Source: WenRuiCai/HIPTrack@371b753:lib/models/hiptrack/hiptrack.py:44-47, lib/models/hip/modules.py.
    """

    def __init__(
        self,
        embed_dims: int = 768,
        key_dims: int = 64,
        base_channels: int = 64,
        pretrained: str | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        require_whole(self, embed_dims=embed_dims, key_dims=key_dims, base_channels=base_channels)
        self.value_dims = embed_dims // 2
        self.memory_encoder = MemoryEncoder(embed_dims, self.value_dims, base_channels, pretrained)
        self.key = nn.Conv2d(embed_dims, key_dims, 3, padding=1)
        self.query_value = nn.Conv2d(embed_dims, self.value_dims, 3, padding=1)
        self.fusion = ResidualBlock(embed_dims, embed_dims)
        nn.init.orthogonal_(self.key.weight)
        nn.init.zeros_(self.key.bias)

    def prompt(self, features: Tensor, key: Tensor, memory: tuple[Tensor, Tensor, Tensor]) -> Tensor:
        """Prompt ``(N, D, h, w)``: values read from a memory, and values of the query.

        Args:
            features: Search features ``(N, D, h, w)``.
            key: Their keys ``(N, K, h, w)``.
            memory: Prepared keys ``(N, K, M)``, offsets ``(N, M)`` and values ``(N, V, M)``.
        """
        return torch.cat((read_memory(*memory, key), self.query_value(features)), dim=1)

    def fuse(self, features: Tensor, prompt: Tensor) -> Tensor:
        """Features ``(N, D, h, w)`` for the head."""
        return self.fusion(features + prompt)

    def encode(self, image: Tensor, mask: Tensor, features: Tensor, key: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Encode frames for a memory. See :meth:`MemoryEncoder.forward` for the arguments; ``key`` are the keys of the
        features.

        Returns:
            Prepared keys ``(N, K, M)``, offsets ``(N, M)`` and values ``(N, V, M)`` for :meth:`prompt`.
        """
        return *prepare_keys(key), self.memory_encoder(image, mask, features).flatten(2)
