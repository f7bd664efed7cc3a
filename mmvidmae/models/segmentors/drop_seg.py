"""DropSeg, the video object segmentation baseline of the DropMAE paper."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
import torch
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
    """Segments objects through a video from their reference masks (DropMAE, arXiv:2304.00571, section 4; decoder and
    aggregation as in STCN, arXiv:2106.05210).

    For each object, one encoder processes the query tokens together with the tokens of the memory frames, to which the
    object's mask is added. A pyramid and a decoder predict the object's mask from the query tokens.
    :func:`aggregate_objects` combines the masks of all objects. All objects form one batch, and computations that do
    not depend on the object are done once.

    The model trains on pairs of a memory frame and a query frame (``docs/video_segmentation.md``). It tests on whole
    videos, as :class:`LabelPropagator` does. :meth:`segment_video` and :class:`VideoSegmentation` segment videos
    without a test loop.

    Args:
        backbone: Config of :class:`MemoryMAEViT`.
        neck: Config of :class:`DeconvPyramid`; ``in_channels`` is filled in.
        decode_head: Config of :class:`MaskDecoder`; ``in_channels`` and ``patch_size`` are filled in.
        loss_decode: Config of :class:`BootstrappedCrossEntropy`.
        memory_every: In videos, interval in frames at which a prediction is added to the memory. None, as published,
            keeps only the reference frame of each object.
        memory_frames: Largest number of memory frames, the reference frame included. Beyond it, the oldest prediction
            is removed.
        data_preprocessor: Config of :class:`VideoSequencePreprocessor`; by default with ImageNet's mean and standard
            deviation.
        init_cfg: Initialization config of MMEngine.

    Raises:
        ValueError: If ``memory_every`` is below 1, ``memory_frames`` is below 2, or the channels of neck and decode
            head differ.
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
        """Predict the probability ``(K, H, W)`` of each object separately, in single precision or better.

        Args:
            memory: Memory tokens ``(K, M, D)`` of each object.
            query: Tokens ``(K, L, D)`` of the query frame.
            grid: Patch grid (rows, columns) of a frame.
        """
        maps = self.neck(self.backbone(memory, query).mT.unflatten(2, grid))
        logits = self.decode_head(maps)
        return logits.to(torch.promote_types(logits.dtype, torch.float32)).sigmoid()

    def segment_pairs(self, pairs: Tensor, masks: Tensor, num_objects: Sequence[int]) -> Tensor:
        """Segment all objects of pairs together.

        Args:
            pairs: Normalized pairs ``(N, 2, 3, H, W)``, memory frame first, then query frame.
            masks: Masks ``(N, K, H, W)`` of the objects in the memory frame, 0 to 1.
            num_objects: Number of objects in each pair. Only these first masks of the K are used and computed.

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
            inputs: In modes ``'loss'`` and ``'tensor'``, uint8 RGB pairs ``(N, 2, 3, H, W)``, memory frame first, then
                query frame. In mode ``'predict'``, uint8 RGB videos ``(T, 3, h, w)``.
            data_samples: For pairs, data samples with ``gt_masks`` ``(2, H, W)``, uint8 with ids from 1, and
                ``num_objects``. For videos, data samples as in ``docs/evaluation_data.md``.
            mode: ``'loss'`` returns losses. ``'tensor'`` returns the log-odds of :meth:`segment_pairs`. ``'predict'``
                returns the data samples with ``pred_masks`` ``(T, H, W)``, uint8 NumPy arrays.
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
        """Compute the losses of the output of :meth:`segment_pairs`.

        Args:
            logits: Log-odds ``(N, 1 + K, H, W)``. Channels of objects that a pair does not have are ignored.
            target: Label maps ``(N, H, W)`` of the query frames.
            num_objects: Number of objects in each pair.

        Returns:
            Dict with ``loss`` and, for the log, ``iou`` over all pixels of the batch.
        """
        classes = torch.arange(logits.shape[1])
        absent = (classes > torch.as_tensor(num_objects)[:, None]).to(logits.device, non_blocking=True)
        target = target.long()
        loss = self.loss_decode(logits.masked_fill(absent[..., None, None], -torch.inf), target)
        onehot = target[:, None] == classes[1:, None, None].to(target.device)
        both, either = intersection_and_union(logits.detach().softmax(1)[:, 1:], onehot)
        return dict(loss=loss, iou=both.sum() / either.sum().clamp(min=1))

    def segment_video(
        self, frames: Iterable[Tensor], given: Mapping[int, LabelMap], out_size: tuple[int, int] | None = None
    ) -> Iterator[Tensor]:
        """Segment a video of any length, frame by frame. Memory does not grow with the length of the video.

        Args:
            frames: uint8 RGB frames ``(3, H, W)`` on any device.
            given: Reference masks by frame number, see :meth:`VideoSegmentation.step`. Frames before the first one are
                all background.
            out_size: Size ``(H, W)`` of the masks; by default that of the frames.

        Yields:
            Label map ``(H, W)`` of each frame, uint8, on the model's device.

        Raises:
            ValueError: If no reference mask has an object, a mask is invalid (see :meth:`VideoSegmentation.step`), or a
                mask is for a frame beyond the end of the video.
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
