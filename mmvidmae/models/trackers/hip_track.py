"""HIPTrack: DropTrack with a historical prompt."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from mmvidmae.registry import MODELS
from mmvidmae.structures.boxes import box_to_crop

from ..layers import require
from .center_head import CenterMaps, cxcywh_to_xyxy, decode
from .drop_track import DropTrack, boxes_in_crops
from .historical_prompt import kept_cells, target_mask
from .one_stream_vit import OneStreamFeatures

WARMUP = 10
"""Number of frames that read the template (WenRuiCai/HIPTrack@371b753:lib/models/hiptrack/hiptrack.py:60)."""
WARMUP_STORED = (5, 10)
"""Those of them that are stored (line 115)."""

Memory = tuple[Tensor, Tensor, Tensor]
"""Prepared keys ``(N, K, M)``, offsets ``(N, M)`` and values ``(N, V, M)`` of M memory cells."""


class MemoryBank(NamedTuple):
    """Memory of a target in preallocated tensors. The oldest frame is overwritten when they are full.

    A bank shares its tensors with the banks that follow it: continue from the latest one.

    Attributes:
        keys: Prepared keys ``(1, K, max_frames * L)`` of L cells per frame.
        offsets: ``(1, max_frames * L)``.
        values: Values ``(1, V, max_frames * L)``.
        num_cells: Number L of cells of a frame.
        frames: Numbers of the stored frames, oldest first.
        num_stored: Number of frames that were ever stored.
    """

    keys: Tensor
    offsets: Tensor
    values: Tensor
    num_cells: int
    frames: tuple[int, ...] = ()
    num_stored: int = 0

    @classmethod
    def empty(cls, like: Tensor, key_dims: int, value_dims: int, num_cells: int, max_frames: int) -> 'MemoryBank':
        """Allocate a bank with the type and on the device of a tensor.

        Raises:
            MemoryError: If the device has too little memory. The message says how much is needed.
        """
        size = max_frames * num_cells
        try:
            return cls(*(like.new_empty(1, *shape, size) for shape in ((key_dims,), (), (value_dims,))), num_cells)
        except RuntimeError as error:
            needed = size * (key_dims + value_dims + 1) * like.element_size() / 2**20
            raise MemoryError(
                f'a memory of {max_frames} frames needs {needed:.0f} MiB on {like.device}: lower '
                'test_cfg.max_memory_frames'
            ) from error

    @property
    def max_frames(self) -> int:
        """Number of frames that fit."""
        return self.offsets.shape[1] // self.num_cells

    def store(self, number: int, memory: Memory) -> 'MemoryBank':
        """Store a frame, in place of the oldest one if the bank is full."""
        start = self.num_stored % self.max_frames * self.num_cells
        for bank, frame in zip(self[:3], memory):
            bank[..., start : start + self.num_cells] = frame
        return self._replace(frames=(*self.frames, number)[-self.max_frames :], num_stored=self.num_stored + 1)

    def read(self) -> Memory:
        """Read the stored frames, in any order."""
        keys, offsets, values = (bank[..., : len(self.frames) * self.num_cells] for bank in self[:3])
        return keys, offsets, values


class HIPTrackState(NamedTuple):
    """State of a target tracked by :class:`HIPTrack`.

    Attributes:
        template: As in :class:`TrackState`.
        box: Last box (x, y, w, h) in pixels of the frame.
        template_box: The target's box (x, y, w, h) ``(1, 4)`` in units of the first template.
        number: Number of frames tracked.
        bank: Memory of the target.
    """

    template: Tensor
    box: list[float]
    template_box: Tensor
    number: int
    bank: MemoryBank


@MODELS.register_module()
class HIPTrack(DropTrack):
    """DropTrack whose search features get a prompt from earlier frames and predictions (CVPR 2024, arXiv:2311.02072).

    The encoder is frozen; the prompt and the head are trained. The memory belongs to the state of a target, so that
    one model follows several targets and videos at once.

    In tests, as published, the first ten frames read a memory of the template, and frames 5 and 10 are stored. Then
    every ``memory_interval``-th frame is stored. There is no confidence threshold: a frame of a lost target is stored
    with the mask of the predicted box.

    Args:
        prompt: Config of a :class:`HistoricalPrompt`; ``embed_dims`` is filled in.
        **kwargs: Arguments of :class:`DropTrack`. ``test_cfg`` has two more options, ``memory_interval`` (20) and
            ``max_memory_frames`` (150).

    Raises:
        ValueError: If a value is out of range.

    Source: WenRuiCai/HIPTrack@371b753:lib/models/hiptrack/hiptrack.py, lib/config/hiptrack/config.py:36, 99.
    """

    test_defaults = DropTrack.test_defaults | dict(memory_interval=20, max_memory_frames=150)

    def __init__(self, prompt: dict, **kwargs) -> None:
        super().__init__(**kwargs)
        for name in ('memory_interval', 'max_memory_frames'):
            value = self.test_cfg[name]
            require(isinstance(value, int) and value > 0, self, f'test_cfg.{name}', value, 'a positive whole number')
        self.prompt = MODELS.build({'embed_dims': self.backbone.embed_dims, **prompt})
        self.backbone.requires_grad_(False)

    def predict_maps(
        self,
        template: Tensor,
        search: Tensor,
        keep_ratio: float | None = None,
        template_boxes: Tensor | None = None,
    ) -> CenterMaps:
        """Predict maps of single search regions, which read the template.

        Args:
            template: Normalized templates ``(N, 3, H, W)``, or several of each target ``(N, T, 3, H, W)``, of which the
                first one is read.
            search: Normalized search regions ``(N, 3, H, W)``.
            keep_ratio: See :meth:`OneStreamViT.forward`.
            template_boxes: Boxes (x, y, w, h) ``(N, 4)`` in units of the template. By default, the target has the
                middle, as in templates without jitter of square targets.
        """
        if template_boxes is None:
            side = 1 / self.template_crop['factor']
            template_boxes = template.new_tensor([[0.5 - side / 2, 0.5 - side / 2, side, side]])
            template_boxes = template_boxes.expand(len(template), -1)
        features = self.backbone(template, search, self.ce_template_cells, keep_ratio, with_template=True)
        memory = self.encode_template(template, template_boxes, features)
        return self.head(self._fuse(features.search, self.prompt.key(features.search), memory))

    def predict_sequence(
        self, template: Tensor, searches: Tensor, template_boxes: Tensor, keep_ratio: float | None = None
    ) -> list[CenterMaps]:
        """Predict maps of T search regions in order. The first one reads the template, the others the search regions
        before them with the masks of their predictions.

        Args:
            template: As for :meth:`predict_maps`.
            searches: Normalized search regions ``(N, T, 3, H, W)``.
            template_boxes: Boxes (x, y, w, h) ``(N, 4)`` in units of the first template.
            keep_ratio: See :meth:`OneStreamViT.forward`.

        Returns:
            The maps of each of the T search regions.
        """
        features = self._encode_sequence(template, searches, keep_ratio)
        memory, maps = self.encode_template(template, template_boxes, features[0]), []
        memories: list[Memory] = []
        for search, frame in zip(searches.unbind(1), features):
            key = self.prompt.key(frame.search)
            maps.append(self.head(self._fuse(frame.search, key, memory)))
            if len(maps) < len(features):
                memories.append(self.encode_frame(search, decode(maps[-1])[0], frame, key))
                memory = tuple(torch.cat(part, dim=-1) for part in zip(*memories))
        return maps

    def loss(self, inputs: dict[str, Tensor], data_samples: list) -> dict[str, Tensor]:
        """Compute the losses of a batch, summed over the frames of a sequence.

        Args:
            inputs: Normalized crops, sample by sample: ``img`` for the S templates of each sequence
                ``(N * S, 3, H, W)``, ``search_img`` for its T search regions ``(N * T, 3, H, W)``.
            data_samples: N data samples with the target (x1, y1, x2, y2) in pixels of the crops: ``(S, 4)`` in
                ``gt_instances.bboxes``, ``(T, 4)`` in ``search_gt_instances.bboxes``.

        Returns:
            The losses of :meth:`CenterHead.loss`; ``iou`` is the mean over the frames.
        """
        template, searches = (inputs[name].unflatten(0, (len(data_samples), -1)) for name in ('img', 'search_img'))
        template_boxes = boxes_in_crops([sample.gt_instances.bboxes[:1] for sample in data_samples], template)
        boxes = boxes_in_crops([sample.search_gt_instances.bboxes for sample in data_samples], searches)
        boxes = boxes.unflatten(0, searches.shape[:2])
        maps = self.predict_sequence(template, searches, template_boxes, self.keep_ratio)
        frames = [self.head.loss(*frame) for frame in zip(maps, boxes.unbind(1))]
        losses = {name: torch.stack([frame[name] for frame in frames]).sum(0) for name in frames[0]}
        return losses | dict(iou=losses['iou'] / len(frames))

    def encode_template(self, template: Tensor, boxes: Tensor, features: OneStreamFeatures) -> Memory:
        """Memory of a template: its image and its features, enlarged twofold, with the mask of the target's box.

        Args:
            template: As for :meth:`predict_maps`.
            boxes: Boxes (x, y, w, h) ``(N, 4)`` in units of the (first) template.
            features: Features of the encoder, with those of the template.
        """
        template = template if template.ndim == 4 else template[:, 0]
        image, enlarged = (
            F.interpolate(x, scale_factor=2, mode='bilinear', align_corners=True) for x in (template, features.template)
        )
        x, y, width, height = (boxes * image.shape[2]).long().unbind(1)  # all four are truncated, as published
        mask = target_mask(torch.stack((x, y, x + width, y + height), dim=1), image.shape[2:])
        return self.prompt.encode(image, mask, enlarged, self.prompt.key(enlarged))

    def encode_frame(self, search: Tensor, boxes: Tensor, features: OneStreamFeatures, key: Tensor) -> Memory:
        """Memory of search regions with predicted boxes (cx, cy, w, h) ``(N, 4)`` in units of the search region."""
        mask = self.frame_mask(search, boxes, features)
        return self.prompt.encode(search, mask, features.search, key)

    def frame_mask(self, search: Tensor, boxes: Tensor, features: OneStreamFeatures) -> Tensor:
        """Foreground mask ``(N, H, W)`` of search regions, see :meth:`encode_frame`."""
        corners = cxcywh_to_xyxy(boxes.detach()) * search.shape[2]
        return target_mask(corners, search.shape[2:], kept_cells(features.kept, self.backbone.grids[1]))

    def _fuse(self, features: Tensor, key: Tensor, memory: Memory) -> Tensor:
        return self.prompt.fuse(features, self.prompt.prompt(features, key, memory))

    def _encode_sequence(self, template: Tensor, searches: Tensor, keep_ratio: float | None) -> list[OneStreamFeatures]:
        """Features of all frames of sequences from one pass of the encoder, which knows no memory."""
        num_frames = searches.shape[1]
        templates = template.repeat_interleave(num_frames, dim=0)
        batch = self.backbone(templates, searches.flatten(0, 1), self.ce_template_cells, keep_ratio, with_template=True)
        return [batch.of(slice(t, None, num_frames)) for t in range(num_frames)]

    def _new_state(self, template: Tensor, resize_factor: float, box: list[float]) -> HIPTrackState:
        side = self.template_crop['out_size']
        template_box = template.new_tensor(box_to_crop(box, box, resize_factor, side) / side)[None]
        cells = self.backbone.grids[1][0] * self.backbone.grids[1][1]
        dims = self.prompt.key.out_channels, self.prompt.value_dims
        bank = MemoryBank.empty(template, *dims, cells, self.test_cfg['max_memory_frames'])
        return HIPTrackState(template, box, template_box, 0, bank)

    def _locate(
        self, search: Tensor, targets: Sequence[HIPTrackState]
    ) -> tuple[Tensor, Tensor, Sequence[HIPTrackState]]:
        new = [target.number <= WARMUP for target in targets]
        template = torch.cat([target.template for target in targets])
        batch = self.backbone(template, search, self.ce_template_cells, with_template=any(new))
        key = self.prompt.key(batch.search)
        prompts = []
        for i, (target, query) in enumerate(zip(targets, key.split(1))):  # their memories differ in length
            frame = batch.of(slice(i, i + 1))
            memory = self.encode_template(target.template, target.template_box, frame) if new[i] else target.bank.read()
            prompts.append(self.prompt.prompt(frame.search, query, memory))
        fused = self.prompt.fuse(batch.search, torch.cat(prompts))
        stored = [i for i, target in enumerate(targets) if self._stores(target.number)]
        located = list(targets)
        if stored:
            boxes, _ = self.head.locate(fused[stored])  # as published, without the window
            memory = self.encode_frame(search[stored], boxes, batch.of(stored), key[stored])
            for i, *frame in zip(stored, *(part.split(1) for part in memory)):
                located[i] = targets[i]._replace(bank=targets[i].bank.store(targets[i].number, tuple(frame)))
        return *self.head.locate(fused, self.window), located

    def _stores(self, number: int) -> bool:
        """Whether a frame is stored, counted from 1."""
        return number % self.test_cfg['memory_interval'] == 0 if number > WARMUP else number in WARMUP_STORED
