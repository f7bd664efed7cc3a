"""What is propagated: masks and poses, to the feature grid and back."""

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
    """What propagation asks of the labels of a video; K channels on a grid ``(h, w)``, channel 0 the background."""

    field: str
    """Where a data sample keeps the prediction."""

    def given(self, frame: int, grid: Size, device: torch.device) -> Tensor | None:
        """Soft labels ``(K, h, w)`` that a frame comes with, or None."""

    def decode(self, frame: int, soft: Tensor) -> Tensor:
        """The prediction for a frame that soft labels ``(K, h, w)`` stand for."""


class MaskLabels:
    """Label maps of objects or parts, one channel for each id and one for the background.

    Args:
        given: For each frame with given labels its label map ``(H, W)``, uint8, 0 where nothing is given. Objects may
            be given later than in the first such frame; there they take their place from what is predicted.
        input_size: ``(h, w)`` of the frames as the network sees them.
        out_size: ``(H, W)`` of predictions.
        protocol: Options.
        ids: The ids, in the order of their channels, 0 first; by default ascending.

    Raises:
        ValueError: If no frame has a given label.
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
        """Soft labels ``(K, h, w)`` on the grid that a frame comes with, each cell summing to 1; None for no labels."""
        if frame not in self.masks:
            return None
        mask = self.masks[frame]
        if self.protocol.mask_resize == 'pillow-nearest':
            return self._one_hot(resize_nearest(mask, grid, center=True)).to(device)
        mask = self._one_hot(resize_nearest(mask, self.input_size, center=False)).to(device)
        return F.interpolate(mask[None], grid, mode='bilinear', align_corners=False)[0]

    def decode(self, frame: int, soft: Tensor) -> Tensor:
        """Label map ``(H, W)``, uint8, of soft labels ``(K, h, w)``."""
        soft = F.interpolate(soft[None], self.input_size, mode='bilinear', align_corners=False)[0]
        if self.protocol.output_norm == 'channel':
            soft = min_max(soft, dim=(1, 2))
        channel = soft.max(0).indices  # on a CPU 50 times as fast as argmax
        ids = self.ids.to(soft.device)[channel]
        ids = resize_nearest(ids, self.out_size, center=self.protocol.mask_resize == 'pillow-nearest')
        if self.protocol.keep_given and frame in self.masks:
            mask = resize_nearest(self.masks[frame], self.out_size, center=True).to(ids.device)
            # of the first frame everything is known, of later ones only what they add
            ids = mask if frame == next(iter(self.masks)) else torch.where(mask > 0, mask, ids)
        return ids

    def _one_hot(self, mask: Tensor) -> Tensor:
        return (mask == self.ids[:, None, None]).float()


class PoseLabels:
    """Joints of a person, a map of each and one of the background.

    Args:
        given: Joints ``(J, 2)`` of frame 0, ``(x, y)`` in 0-based pixels of the image.
        image_size: ``(H, W)`` of the image in pixels.
        protocol: Options.

    Source: CRW's JHMDB protocol.
    """

    field = 'pred_joints'

    def __init__(self, given: np.ndarray, image_size: Size, protocol: PropagationProtocol) -> None:
        self.joints = np.asarray(given, dtype=np.float64)
        self.image_size = image_size
        self.protocol = protocol

    def given(self, frame: int, grid: Size, device: torch.device) -> Tensor | None:
        """Label maps ``(1 + J, h, w)`` of frame 0: the background, 1 where all others are 0, then the joints."""
        if frame != 0:
            return None
        maps = pose_label_maps(grid_to_image(self.joints, self.image_size, grid), grid)
        background = (maps == 0).all(0, keepdims=True)
        return torch.from_numpy(np.concatenate((background, maps))).float().to(device)

    def decode(self, frame: int, soft: Tensor) -> Tensor:
        """Joints ``(J, 2)``, float64, ``(x, y)`` in 0-based pixels, of maps ``(1 + J, h, w)``; ``(-1, -1)`` where a map
        is empty."""
        grid = tuple(soft.shape[1:])
        cells = joints_from_maps(soft[1:].cpu().numpy(), self.protocol.pose_topk)
        pixels = grid_to_image(cells, grid, self.image_size)
        return torch.from_numpy(np.where(cells < 0, -1.0, pixels))


def resize_nearest(mask: Tensor, size: Size, center: bool) -> Tensor:
    """Resize ``(H, W)`` by the nearest neighbor.

    Args:
        mask: Any values.
        size: ``(h, w)``.
        center: Take the pixel that holds the center of a new one, as Pillow does, instead of its upper left corner, as
            OpenCV does.
    """
    if mask.shape == tuple(size):
        return mask
    for axis, (old, new) in enumerate(zip(mask.shape, size)):
        # rounding decides where a pixel falls between two: Pillow adds up its steps, OpenCV inverts the scale
        source = np.cumsum([old / new / 2] + [old / new] * (new - 1)) if center else np.arange(new) * (1 / (new / old))
        index = torch.from_numpy(source.astype(np.int64).clip(max=old - 1))
        mask = mask.index_select(axis, index.to(mask.device))
    return mask


def min_max(x: Tensor, dim: int | tuple[int, ...]) -> Tensor:
    """Rescale to 0..1 over ``dim``. What is 0 everywhere stays 0; what is constant otherwise becomes NaN, which an
    arg-max prefers, as in DINO's ``norm_mask``."""
    low, high = x.amin(dim, keepdim=True), x.amax(dim, keepdim=True)
    return torch.where(high > 0, (x - low) / (high - low), x)
