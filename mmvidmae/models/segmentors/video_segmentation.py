"""A video being segmented, frame by frame."""

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..propagation.labels import resize_nearest
from .objects import aggregate_objects

MAX_ID = 255
"""Largest id of an object: masks are uint8."""


class VideoSegmentation:
    """A video being segmented by a :class:`DropSeg`: what is remembered of its objects.

    Objects keep the ids that they were given with. They may be given in any frame, and again in a later one, which
    replaces all that was remembered of them. What is held does not grow with the video: of each object the tokens of
    the frame where it was given, and of at most ``memory_frames - 1`` later ones if the model has ``memory_every``.

    Args:
        model: The model, in evaluation mode.
        out_size: ``(H, W)`` of the masks; by default that of the frames.
    """

    def __init__(self, model: torch.nn.Module, out_size: tuple[int, int] | None = None) -> None:
        self.model = model
        self.out_size = out_size
        self.ids: list[int] = []
        """Ids of the objects, in the order in which they were given."""
        self.num_frames = 0
        """Frames seen so far."""
        self._size: tuple[int, int] | None = None
        self._memory: Tensor | None = None  # (K, frames, L, D)
        self._since_given = 0

    def step(self, frame: Tensor, mask: np.ndarray | Tensor | None = None) -> Tensor:
        """Segment the next frame.

        Args:
            frame: ``(3, H, W)``, uint8 RGB, on any device.
            mask: Label map of objects that are given in this frame, 0 elsewhere, as large as the frame or as
                ``out_size``. Where it is not 0 it is what is returned; the rest is predicted. An empty one gives
                nothing.

        Returns:
            Label map ``(H, W)``, uint8, on the model's device.

        Raises:
            ValueError: If the frame is no such tensor or of another size than those before; if the mask is no label
                map, of another size, or has ids below 0 or above 255.
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
        """As :meth:`step`, giving the probabilities ``(1 + K, H, W)`` of background and objects, frame padded to
        patches."""
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
        """Label map ``(H, W)``, uint8, of the probabilities of a padded frame."""
        left, _, top, _ = pad_to_multiple(self._size, self.model.backbone.patch_size)
        height, width = self._size
        prob = prob[None, :, top : top + height, left : left + width]
        if self.out_size is not None and tuple(self.out_size) != self._size:
            prob = F.interpolate(prob, self.out_size, mode='bilinear', align_corners=False)
        ids = torch.tensor([0, *self.ids], dtype=torch.uint8, device=prob.device)
        return ids[prob[0].max(0).indices]

    def _give(self, prob: Tensor, mask: Tensor) -> tuple[Tensor, list[int]]:
        """Put given objects in their place: the objects' probabilities, and the rows of the given ones."""
        ids = mask.unique().tolist()
        ids = ids[1:] if ids[0] == 0 else ids
        self.ids += [i for i in ids if i not in self.ids]
        rows = [self.ids.index(i) for i in ids]
        prob = torch.cat((prob, prob.new_zeros(len(self.ids) - len(prob), *prob.shape[1:]))) * (mask == 0)
        prob[rows] = (mask == mask.new_tensor(ids)[:, None, None]).to(prob.dtype)
        return prob, rows

    def _remember(self, tokens: Tensor, rows: list[int], due: bool) -> None:
        """Keep the tokens ``(K, L, D)`` of a frame: as all there is of the given objects, and as one more of all."""
        if self._memory is None:
            self._memory, self._since_given = tokens[:, None], 0
            return
        if rows:  # an object without earlier frames has the given one in the place of each
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
    """A label map as uint8 ``(H, W)``.

    Args:
        mask: ``(H, W)`` of whole numbers.
        name: Of the mask, for errors.
        sizes: ``(H, W)`` that it may have.

    Raises:
        ValueError: If it is no label map, of another size, or has ids below 0 or above 255.
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
    """Pixels to add on the left, right, top and bottom of ``(H, W)``; of an odd number one more at the end."""
    height, width = (-side % divisor for side in size)
    return width // 2, width - width // 2, height // 2, height - height // 2


def _pixels(size: tuple[int, int]) -> str:
    return f'{size[0]} x {size[1]} pixels'
