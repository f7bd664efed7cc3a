"""DropSeg: the baseline for video object segmentation of the DropMAE paper."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
import torch
from mmengine.logging import MessageHub
from mmengine.model import BaseModel
from mmpretrain.structures import DataSample
from torch import Tensor

from mmvidmae.registry import MODELS
from mmvidmae.utils.progress import count_frames

from ..propagation.labels import resize_nearest
from .objects import aggregate_objects, intersection_and_union
from .video_segmentation import VideoSegmentation

LabelMap = np.ndarray | Tensor


@MODELS.register_module()
class DropSeg(BaseModel):
    """Segments given objects through a video, each frame by what it shares with the frame where they were given
    (DropMAE, arXiv:2304.00571, section 4; decoder and aggregation as in STCN, arXiv:2106.05210).

    For each object the query's tokens and those of the memory frames, with the object's mask on them, go through
    one encoder together; a pyramid and a decoder make a mask of the query's; the objects' masks are brought together by
    :func:`aggregate_objects`. All objects are one batch, and what does not depend on the object is computed once.

    It trains on pairs (a memory frame and a query, ``docs/video_segmentation.md``) and tests on whole videos, as
    :class:`LabelPropagator` does. :meth:`segment_video` and :class:`VideoSegmentation` are the same without a loop.

    Args:
        backbone: Config of :class:`MemoryMAEViT`.
        neck: Config of :class:`DeconvPyramid`; ``in_channels`` is filled in.
        decode_head: Config of :class:`MaskDecoder`; likewise, with ``patch_size``.
        loss_decode: Config of :class:`BootstrappedCrossEntropy`.
        memory_every: In videos, each how many frames the last prediction is remembered too; None, as published: never,
            the frame where an object was given is all that is known of it.
        memory_frames: Most frames that are remembered, the given one included; then the oldest prediction goes.
        data_preprocessor: Config of :class:`VideoSequencePreprocessor`; by default ImageNet's mean and deviation.
        init_cfg: As in MMEngine.

    Raises:
        ValueError: If ``memory_every`` is below 1 or ``memory_frames`` below 2, or the channels of neck and decode head
            differ.
    """

    recipe = dict(
        backbone=dict(type='mmvidmae.MemoryMAEViT'),
        neck=dict(type='mmvidmae.DeconvPyramid'),
        decode_head=dict(type='mmvidmae.MaskDecoder'),
        loss_decode=dict(type='mmvidmae.BootstrappedCrossEntropy'),
        data_preprocessor=dict(
            type='mmvidmae.VideoSequencePreprocessor', mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375]
        ),
    )

    def __init__(
        self,
        backbone: dict | None = None,
        neck: dict | None = None,
        decode_head: dict | None = None,
        loss_decode: dict | None = None,
        memory_every: int | None = None,
        memory_frames: int = 5,
        data_preprocessor: dict | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        recipe = self.recipe
        super().__init__({**recipe['data_preprocessor'], **(data_preprocessor or {})}, init_cfg)
        if (memory_every is not None and memory_every < 1) or memory_frames < 2:
            raise ValueError(
                f'expected memory_every of at least 1 or None and memory_frames of at least 2, got {memory_every} and '
                f'{memory_frames}'
            )
        self.memory_every = memory_every
        self.memory_frames = memory_frames
        self.backbone = MODELS.build({**recipe['backbone'], **(backbone or {})})
        shared = dict(in_channels=self.backbone.embed_dims)
        self.neck = MODELS.build({**shared, **recipe['neck'], **(neck or {})})
        shared['patch_size'] = self.backbone.patch_size
        self.decode_head = MODELS.build({**shared, **recipe['decode_head'], **(decode_head or {})})
        widths = [getattr(part, 'channels', None) for part in (self.neck, self.decode_head)]
        if None not in widths and widths[0] != widths[1]:
            raise ValueError(
                f'DropSeg: neck.channels and decode_head.channels must be the same, got {widths[0]} and {widths[1]}'
            )
        self.loss_decode = MODELS.build({**recipe['loss_decode'], **(loss_decode or {})})

    def object_prob(self, memory: Tensor, query: Tensor, grid: tuple[int, int]) -> Tensor:
        """Each object by itself: its probability ``(K, H, W)`` in the query frame, in single precision or better.

        Args:
            memory: Tokens ``(K, M, D)`` of what is remembered of each object.
            query: Tokens ``(K, L, D)`` of the query frame.
            grid: Patches (rows, columns) of a frame.
        """
        maps = self.neck(self.backbone(memory, query).mT.unflatten(2, grid))
        logits = self.decode_head(maps)
        return logits.to(torch.promote_types(logits.dtype, torch.float32)).sigmoid()

    def segment_pairs(self, pairs: Tensor, masks: Tensor, num_objects: Sequence[int]) -> Tensor:
        """All objects of pairs, together.

        Args:
            pairs: Normalized ``(N, 2, 3, H, W)``: the memory frame, then the query.
            masks: ``(N, K, H, W)``, 0 to 1, of the objects in the memory frame.
            num_objects: How many of its K objects each pair has: the first ones. The others cost nothing.

        Returns:
            Log-odds ``(N, 1 + K, H, W)``, background first; see :func:`aggregate_objects`.
        """
        query, grid = self.backbone.embed(pairs[:, 1:])
        memory, _ = self.backbone.embed(pairs[:, :1], first=1)
        there = torch.arange(masks.shape[1]) < torch.as_tensor(num_objects)[:, None]
        index, slot = (i.to(masks.device, non_blocking=True) for i in there.nonzero(as_tuple=True))
        memory = memory[index, 0] + self.backbone.embed_masks(masks[index, slot])
        found = self.object_prob(memory, query[index, 0], grid)
        return aggregate_objects(found.new_zeros(masks.shape).index_put((index, slot), found))

    def forward(
        self, inputs: Tensor | Sequence[Tensor], data_samples: Sequence[DataSample], mode: str = 'tensor'
    ) -> Tensor | dict[str, Tensor] | list[DataSample]:
        """Entry point of MMEngine.

        Args:
            inputs: In modes ``'loss'`` and ``'tensor'`` pairs ``(N, 2, 3, H, W)``, uint8 RGB: the memory frame,
                then the query. In mode ``'predict'`` videos ``(T, 3, h, w)``, uint8 RGB.
            data_samples: Of pairs with ``gt_masks`` ``(2, H, W)``, uint8, ids from 1 on, and ``num_objects``. Of
                videos as in ``docs/evaluation_data.md``.
            mode: ``'loss'`` gives losses, ``'tensor'`` the log-odds of :meth:`segment_pairs`, and ``'predict'`` the
                data samples with ``pred_masks`` ``(T, H, W)``, uint8, as NumPy arrays.
        """
        if mode == 'predict':
            return [self._predict(frames, sample) for frames, sample in zip(inputs, data_samples, strict=True)]
        pairs = self.data_preprocessor.normalize(inputs)
        masks = torch.stack([sample.gt_masks for sample in data_samples])
        num_objects = [sample.num_objects for sample in data_samples]
        ids = torch.arange(1, max(num_objects) + 1, dtype=masks.dtype, device=masks.device)
        given = (masks[:, 0, None] == ids[:, None, None]).to(pairs.dtype)
        logits = self.segment_pairs(pairs, given, num_objects)
        return self.losses(logits, masks[:, 1], num_objects) if mode == 'loss' else logits

    def losses(self, logits: Tensor, target: Tensor, num_objects: Sequence[int]) -> dict[str, Tensor]:
        """Losses of what :meth:`segment_pairs` gives.

        Args:
            logits: ``(N, 1 + K, H, W)``. Objects that a pair does not have are no choice for its pixels.
            target: Label maps ``(N, H, W)`` of the queries.
            num_objects: Of each pair.

        Returns:
            ``loss``, and for the log ``top_share`` (see :class:`BootstrappedCrossEntropy`) and ``iou``, over all pixels
            of the batch.
        """
        classes = torch.arange(logits.shape[1])
        absent = (classes > torch.as_tensor(num_objects)[:, None]).to(logits.device, non_blocking=True)
        target = target.long()
        iteration = MessageHub.get_current_instance().get_info('iter', 0)
        loss = self.loss_decode(logits.masked_fill(absent[..., None, None], -torch.inf), target, iteration)
        onehot = target[:, None] == classes[1:, None, None].to(target.device)
        both, either = intersection_and_union(logits.detach().softmax(1)[:, 1:], onehot)
        share = logits.new_tensor(self.loss_decode.share_at(iteration))
        return dict(loss=loss, top_share=share, iou=both.sum() / either.sum().clamp(min=1))

    def segment_video(
        self, frames: Iterable[Tensor], given: Mapping[int, LabelMap], out_size: tuple[int, int] | None = None
    ) -> Iterator[Tensor]:
        """Segment a video of any length, frame by frame; memory does not grow with its length.

        Args:
            frames: ``(3, H, W)`` each, uint8 RGB, on any device.
            given: Label maps by frame number, see :meth:`VideoSegmentation.step`. Before the first of them there is
                nothing to see: all is background.
            out_size: ``(H, W)`` of the masks; by default that of the frames.

        Yields:
            Label maps ``(H, W)``, uint8, on the model's device.

        Raises:
            ValueError: If no object is given at all, a mask does not fit (see :meth:`VideoSegmentation.step`), or is
                given for a frame that the video does not have.
        """
        if not any((torch.as_tensor(mask) > 0).any() for mask in given.values()):
            raise ValueError('no object is given in any mask: there is nothing to segment')
        state = VideoSegmentation(self, out_size)
        for number, frame in enumerate(frames):
            yield state.step(frame, given.get(number))
        late = sorted(number for number in given if not 0 <= number < state.num_frames)
        if late:
            raise ValueError(f'a mask is given for frame {late[0]}, but the video has {state.num_frames} frames')

    def _predict(self, frames: Tensor, sample: DataSample) -> DataSample:
        out_size = tuple(sample.out_shape)
        given = {
            number: mask if mask.shape == out_size else resize_nearest(torch.as_tensor(mask), frames.shape[-2:], True)
            for number, mask in sample.reference_masks.items()
        }
        found = count_frames(self.segment_video(frames, given, out_size), sample.get('video_name', 'video'))
        masks = [mask.cpu() for mask in found]
        sample.set_field(torch.stack(masks).numpy(), 'pred_masks')
        return sample
