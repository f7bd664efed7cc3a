"""Labels for propagation: masks and poses, converted to the feature grid and back."""

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from mmvidmae.structures.pose_maps import grid_to_image, joints_from_maps, pose_label_maps

from .protocol import PropagationProtocol

Size = tuple[int, int]


class Labels(Protocol):
    """Interface of the labels of a video. Labels have K channels on a grid ``(h, w)``; channel 0 is the background."""

    field: str
    """Field of a data sample for the prediction."""

    def given(self, frame: int, grid: Size, device: torch.device) -> Tensor | None:
        """Reference labels of a frame as soft labels ``(K, h, w)``, or None."""

    def decode(self, frame: int, soft: Tensor) -> Tensor:
        """Convert soft labels ``(K, h, w)`` of a frame to its prediction."""


class MaskLabels:
    """Label maps of objects or parts, with one channel per id and one for the background.

    Args:
        given: Reference mask ``(H, W)``, uint8, of each annotated frame, 0 elsewhere. A reference mask may add objects
            in a later frame, where it overwrites the prediction.
        input_size: Size ``(h, w)`` of the frames at the network's input.
        out_size: Size ``(H, W)`` of predictions.
        protocol: Options of the propagation.
        ids: Ids in the order of their channels, 0 first; by default ascending.

    Raises:
        ValueError: If no frame has a reference mask with an object.
    """

    field = 'pred_masks'

    def __init__(
        self,
        given: Mapping[int, np.ndarray | Tensor],
        input_size: Size,
        out_size: Size,
        protocol: PropagationProtocol,
        ids: Sequence[int] | None = None,
    ) -> None:
        self.masks = {frame: torch.as_tensor(mask) for frame, mask in sorted(given.items())}
        if ids is None:
            ids = sorted({0}.union(*(mask.unique().tolist() for mask in self.masks.values())))
        if not self.masks or len(ids) < 2:
            raise ValueError('no object is given: there is nothing to propagate')
        self.ids = torch.tensor(ids, dtype=torch.uint8)
        self.input_size = input_size
        self.out_size = out_size
        self.protocol = protocol

    def given(self, frame: int, grid: Size, device: torch.device) -> Tensor | None:
        """Reference labels of a frame as soft labels ``(K, h, w)``, each cell summing to 1, or None."""
        if frame not in self.masks:
            return None
        mask = self.masks[frame]
        if self.protocol.mask_resize == 'nearest':
            return self._one_hot(resize_with_torch(mask, grid, 'nearest-exact')).to(device)
        if self.protocol.mask_resize == 'pillow-nearest':
            return self._one_hot(resize_nearest(mask, grid, center=True)).to(device)
        mask = self._one_hot(resize_nearest(mask, self.input_size, center=False)).to(device)
        return F.interpolate(mask[None], grid, mode='bilinear', align_corners=False)[0]

    def decode(self, frame: int, soft: Tensor) -> Tensor:
        """Convert soft labels ``(K, h, w)`` to a label map ``(H, W)``, uint8."""
        on_grid = self.protocol.mask_resize == 'nearest'
        if not on_grid:
            soft = F.interpolate(soft[None], self.input_size, mode='bilinear', align_corners=False)[0]
        if self.protocol.output_norm == 'channel':
            soft = min_max(soft, dim=(1, 2))
        channel = soft.max(0).indices  # 50 times as fast as argmax on a CPU
        ids = self.ids.to(soft.device)[channel]
        if on_grid:
            ids = resize_with_torch(ids, self.out_size, 'nearest')
        else:
            ids = resize_nearest(ids, self.out_size, center=self.protocol.mask_resize == 'pillow-nearest')
        if self.protocol.keep_given and frame in self.masks:
            mask = resize_nearest(self.masks[frame], self.out_size, center=True).to(ids.device)
            # the first reference mask covers the whole frame, later ones only their new objects
            ids = mask if frame == next(iter(self.masks)) else torch.where(mask > 0, mask, ids)
        return ids

    def _one_hot(self, mask: Tensor) -> Tensor:
        return (mask == self.ids[:, None, None]).float()


class PoseLabels:
    """Joints of a person, with one map per joint and one for the background.

    Args:
        given: Joints ``(J, 2)`` of frame 0, ``(x, y)`` in 0-based pixels of the image.
        image_size: Size ``(H, W)`` of the image in pixels.
        protocol: Options of the propagation.

    Source: CRW's JHMDB protocol.
    """

    field = 'pred_joints'

    def __init__(self, given: np.ndarray, image_size: Size, protocol: PropagationProtocol) -> None:
        self.joints = np.asarray(given, dtype=np.float64)
        self.image_size = image_size
        self.protocol = protocol

    def given(self, frame: int, grid: Size, device: torch.device) -> Tensor | None:
        """Label maps ``(1 + J, h, w)`` of frame 0: the background (1 where all others are 0), then the joints."""
        if frame != 0:
            return None
        maps = pose_label_maps(grid_to_image(self.joints, self.image_size, grid), grid)
        background = (maps == 0).all(0, keepdims=True)
        return torch.from_numpy(np.concatenate((background, maps))).float().to(device)

    def decode(self, frame: int, soft: Tensor) -> Tensor:
        """Convert maps ``(1 + J, h, w)`` to joints ``(J, 2)``, float64, ``(x, y)`` in 0-based pixels. A joint with an
        empty map is ``(-1, -1)``."""
        grid = tuple(soft.shape[1:])
        cells = joints_from_maps(soft[1:].cpu().numpy(), self.protocol.pose_topk)
        pixels = grid_to_image(cells, grid, self.image_size)
        return torch.from_numpy(np.where(cells < 0, -1.0, pixels))


def resize_nearest(mask: Tensor, size: Size, center: bool) -> Tensor:
    """Resize a mask with nearest-neighbor interpolation.

    Args:
        mask: Mask ``(H, W)`` of any values.
        size: Target size ``(h, w)``.
        center: Whether to sample at the center of each new pixel, as Pillow does. Otherwise at its upper left corner,
            as OpenCV does.
    """
    if mask.shape == tuple(size):
        return mask
    for axis, (old, new) in enumerate(zip(mask.shape, size)):
        # rounding decides ties between two pixels: Pillow accumulates steps, OpenCV inverts the scale
        source = np.cumsum([old / new / 2] + [old / new] * (new - 1)) if center else np.arange(new) * (1 / (new / old))
        index = torch.from_numpy(source.astype(np.int64).clip(max=old - 1))
        mask = mask.index_select(axis, index.to(mask.device))
    return mask


def resize_with_torch(mask: Tensor, size: Size, mode: str) -> Tensor:
    """Resize a mask ``(H, W)``, uint8, to ``size`` with a mode of PyTorch's nearest-neighbor interpolation."""
    return F.interpolate(mask[None, None].float(), size, mode=mode)[0, 0].to(mask.dtype)


def min_max(x: Tensor, dim: int | tuple[int, ...]) -> Tensor:
    """Rescale to 0..1 over ``dim``, as DINO's ``norm_mask`` does. All-zero values stay 0. Other constant values become
    NaN, which an arg-max prefers."""
    low, high = x.amin(dim, keepdim=True), x.amax(dim, keepdim=True)
    return torch.where(high > 0, (x - low) / (high - low), x)
