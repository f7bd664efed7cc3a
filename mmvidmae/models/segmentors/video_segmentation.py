"""Frame-by-frame segmentation of a video."""

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..propagation.labels import resize_nearest
from .objects import aggregate_objects

MAX_ID = 255
"""Largest object id, since masks are uint8."""


class VideoSegmentation:
    """State of a video that a :class:`DropSeg` segments: the memory of its objects.

    Objects keep the ids of their reference masks. A reference mask may come with any frame. A new mask of an object
    replaces its memory. Memory does not grow with the length of the video. For each object it holds the tokens of the
    reference frame and, if the model has ``memory_every``, of at most ``memory_frames - 1`` later frames.

    Args:
        model: Model in evaluation mode.
        out_size: Size ``(H, W)`` of the masks; by default that of the frames.
    """

    def __init__(self, model: torch.nn.Module, out_size: tuple[int, int] | None = None) -> None:
        self.model = model
        self.out_size = out_size
        self.ids: list[int] = []
        """Ids of the objects, in the order of their first reference masks."""
        self.num_frames = 0
        """Number of frames segmented so far."""
        self._size: tuple[int, int] | None = None
        self._memory: Tensor | None = None  # (K, frames, L, D)
        self._since_given = 0

    def step(self, frame: Tensor, mask: np.ndarray | Tensor | None = None) -> Tensor:
        """Segment the next frame.

        Args:
            frame: uint8 RGB frame ``(3, H, W)`` on any device.
            mask: Reference mask of objects in this frame, 0 elsewhere, of the size of the frame or of ``out_size``. The
                result equals the mask where it is not 0 and is predicted elsewhere. An empty mask has no effect.

        Returns:
            Label map ``(H, W)``, uint8, on the model's device.

        Raises:
            ValueError: If the frame has another type, shape or size than expected, or if the mask is not a label map,
                has another size, or has ids below 0 or above 255.
        """
        given = self._check(frame, mask)
        prob = self.step_soft(frame, given)
        ids = self.decode(prob)
        if given is not None:
            given = resize_nearest(given.to(ids.device), ids.shape, center=True)
            ids = torch.where(given > 0, given, ids)
        return ids

    @torch.no_grad()
    def step_soft(self, frame: Tensor, mask: Tensor | None = None) -> Tensor:
        """Segment the next frame as :meth:`step` does, but return the probabilities ``(1 + K, H, W)`` of background and
        objects, for the frame padded to whole patches."""
        backbone, preprocessor = self.model.backbone, self.model.data_preprocessor
        self._size = tuple(frame.shape[-2:])
        padding = pad_to_multiple(self._size, backbone.patch_size)
        image = F.pad(preprocessor.normalize(frame.to(preprocessor.device, non_blocking=True)), padding)[None, None]
        prob = image.new_zeros(0, *image.shape[-2:])
        if self.ids:
            query, grid = backbone.embed(image)
            memory = self._memory.flatten(1, 2)
            prob = self.model.object_prob(memory, query[0].expand(len(memory), -1, -1), grid)
        rows = []
        if mask is not None:
            mask = F.pad(resize_nearest(mask, self._size, center=True).to(image.device), padding)
            prob, rows = self._give(prob, mask)
        prob = aggregate_objects(prob).softmax(0)

        self._since_given += 1
        every = self.model.memory_every
        due = every is not None and self._memory is not None and self._since_given % every == 0
        if rows or due:
            tokens = backbone.embed(image, first=1)[0][0] + backbone.embed_masks(prob[1:].to(image.dtype))
            self._remember(tokens, rows, due)
        self.num_frames += 1
        return prob

    def decode(self, prob: Tensor) -> Tensor:
        """Convert the probabilities of a padded frame to a label map ``(H, W)``, uint8."""
        left, _, top, _ = pad_to_multiple(self._size, self.model.backbone.patch_size)
        height, width = self._size
        prob = prob[None, :, top : top + height, left : left + width]
        if self.out_size is not None and tuple(self.out_size) != self._size:
            prob = F.interpolate(prob, self.out_size, mode='bilinear', align_corners=False)
        ids = torch.tensor([0, *self.ids], dtype=torch.uint8, device=prob.device)
        return ids[prob[0].max(0).indices]

    def _give(self, prob: Tensor, mask: Tensor) -> tuple[Tensor, list[int]]:
        """Insert the reference masks. Returns the objects' probabilities and the rows of the referenced objects."""
        ids = mask.unique().tolist()
        ids = ids[1:] if ids[0] == 0 else ids
        self.ids += [i for i in ids if i not in self.ids]
        rows = [self.ids.index(i) for i in ids]
        prob = torch.cat((prob, prob.new_zeros(len(self.ids) - len(prob), *prob.shape[1:]))) * (mask == 0)
        prob[rows] = (mask == mask.new_tensor(ids)[:, None, None]).to(prob.dtype)
        return prob, rows

    def _remember(self, tokens: Tensor, rows: list[int], due: bool) -> None:
        """Store the tokens ``(K, L, D)`` of a frame. They replace the memory of the objects in ``rows``. If ``due``,
        they are also added to the memory of all objects."""
        if self._memory is None:
            self._memory, self._since_given = tokens[:, None], 0
            return
        if rows:  # without earlier frames, an object has its reference frame in all places
            new = len(tokens) - len(self._memory)
            self._memory = torch.cat((self._memory, self._memory.new_empty(new, *self._memory.shape[1:])))
            self._memory[rows] = tokens[rows, None]
        if due:
            full = self._memory.shape[1] == self.model.memory_frames
            self._memory = torch.cat((self._memory[:, :1], self._memory[:, 1 + full :], tokens[:, None]), dim=1)

    def _check(self, frame: Tensor, mask: np.ndarray | Tensor | None) -> Tensor | None:
        where = f'frame {self.num_frames}'
        if frame.ndim != 3 or len(frame) != 3 or frame.dtype != torch.uint8:
            raise ValueError(
                f'{where} must be (3, H, W), uint8 RGB, got {tuple(frame.shape)}, {str(frame.dtype).split(".")[-1]}'
            )
        size = tuple(frame.shape[1:])
        if self._size not in (None, size):
            raise ValueError(f'{where} has {_pixels(size)}, those before {_pixels(self._size)}')
        if mask is None:
            return None
        mask = check_mask(mask, f'the mask of {where}', (size, tuple(self.out_size or size)))
        return mask if mask.any() else None


def check_mask(mask: np.ndarray | Tensor, name: str, sizes: Sequence[tuple[int, int]]) -> Tensor:
    """Check a label map and convert it to uint8 ``(H, W)``.

    Args:
        mask: Label map ``(H, W)`` of integers.
        name: Name of the mask in error messages.
        sizes: Allowed sizes ``(H, W)``.

    Raises:
        ValueError: If it is not a label map, has another size, or has ids below 0 or above 255.
    """
    mask = torch.as_tensor(mask)
    if mask.ndim != 2 or mask.is_floating_point():
        raise ValueError(
            f'{name} must be a label map, (H, W) of whole numbers, got {tuple(mask.shape)}, '
            f'{str(mask.dtype).split(".")[-1]}; color pictures are read by '
            'mmvidmae.structures.label_maps.read_label_map'
        )
    if tuple(mask.shape) not in sizes:
        raise ValueError(f'{name} has {_pixels(tuple(mask.shape))}, but the frame {_pixels(sizes[0])}')
    low, high = int(mask.min()), int(mask.max())
    if low < 0 or high > MAX_ID:
        raise ValueError(f'{name} has the id {low if low < 0 else high}: ids are 1 to {MAX_ID}, 0 is background')
    return mask.to(torch.uint8)


def pad_to_multiple(size: tuple[int, int], divisor: int) -> tuple[int, int, int, int]:
    """Padding of ``(H, W)`` on the left, right, top and bottom, in pixels. An odd pixel is added on the right or
    bottom."""
    height, width = (-side % divisor for side in size)
    return width // 2, width - width // 2, height // 2, height - height // 2


def _pixels(size: tuple[int, int]) -> str:
    return f'{size[0]} x {size[1]} pixels'
