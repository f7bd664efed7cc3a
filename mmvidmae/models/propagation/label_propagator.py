"""Label propagation model: frozen features propagate the labels of the first frame through a video."""

from collections.abc import Iterator, Sequence

import torch
from mmengine.model import BaseDataPreprocessor, BaseModel
from mmpretrain.structures import DataSample
from torch import Tensor, nn

from mmvidmae.registry import MODELS
from mmvidmae.utils.progress import count_frames

from .context import propagate_features
from .frozen_backbone import FrozenBackbone
from .labels import Labels, MaskLabels, PoseLabels
from .protocol import make_protocol


@MODELS.register_module()
class VideoSequencePreprocessor(BaseDataPreprocessor):
    """Preprocessor that moves videos to the device as uint8. :meth:`normalize` is applied to a few frames at a time.

    Args:
        mean: Mean of R, G and B, 0 to 255.
        std: Standard deviation of R, G and B, 0 to 255.
        non_blocking: Whether the copy to the device may overlap with computation.
    """

    def __init__(self, mean: Sequence[float], std: Sequence[float], non_blocking: bool = True) -> None:
        super().__init__(non_blocking)
        for name, value in (('mean', mean), ('std', std)):
            self.register_buffer(name, torch.tensor(value).view(3, 1, 1), persistent=False)

    def normalize(self, frames: Tensor) -> Tensor:
        """Normalize uint8 RGB frames ``(N, 3, h, w)`` on their device. Returns float32."""
        return (frames - self.mean) / self.std


@MODELS.register_module()
class LabelPropagator(FrozenBackbone, BaseModel):
    """Propagates the labels of a video's first frame with the features of a frozen backbone.

    The label of a cell is the mean label of the most similar cells of earlier frames, weighted by the softmax of cosine
    similarities. Only the backbone has parameters.

    Args:
        backbone: Config of a backbone whose last output is a feature map ``(N, C, h, w)``, such as ours,
            ``mmpretrain.VisionTransformer`` with ``out_type='featmap'``, or a ResNet. A recurrent backbone
            (:class:`RecurrentViT`) runs through each video from its first frame on. Its weights are initialized (also
            from ``init_cfg``) when it is built, since MMEngine initializes only models that it trains. A module is also
            accepted and is put into evaluation mode.
        protocol: Propagation protocol: a name in :data:`PROTOCOLS`, or a dict with ``preset`` and the options of
            :class:`PropagationProtocol` that differ from it.
        batch_size: Number of frames that the backbone encodes at a time. The result does not depend on it.
        data_preprocessor: Config of :class:`VideoSequencePreprocessor`; by default with ImageNet's mean and standard
            deviation.

    Raises:
        ValueError: If the protocol has an unknown preset or option, or a value is out of range.
    """

    def __init__(
        self,
        backbone: dict | nn.Module,
        protocol: str | dict = 'cropmae',
        batch_size: int = 4,
        data_preprocessor: dict | None = None,
    ) -> None:
        default = dict(
            type='mmvidmae.VideoSequencePreprocessor', mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375]
        )
        super().__init__(data_preprocessor={**default, **(data_preprocessor or {})})
        self.preset, changes = protocol, {}
        if not isinstance(protocol, str):
            changes = dict(protocol)
            if 'preset' not in changes:
                raise ValueError("protocol: a dict must name its preset, as dict(preset='cropmae', topk=10) does")
            self.preset = changes.pop('preset')
        self.protocol = make_protocol(self.preset, **changes)
        if batch_size < 1:
            raise ValueError(f'batch_size must be at least 1, got {batch_size}')
        self.batch_size = batch_size
        self.set_backbone(backbone)

    @torch.no_grad()
    def extract_feat(self, frames: Tensor) -> Tensor:
        """Extract unit-length features ``(N, C, h, w)``, float32, from uint8 RGB frames ``(N, 3, H, W)`` on any device.
        Each frame is encoded alone, also by a recurrent backbone.

        Raises:
            ValueError: If the last output of the backbone is not a feature map.
        """
        return self._unit(self.backbone(self._normalized(frames)))

    def _normalized(self, frames: Tensor) -> Tensor:
        return self.data_preprocessor.normalize(frames.to(self.data_preprocessor.device, non_blocking=True))

    @torch.no_grad()
    def propagate(self, frames: Tensor, labels: Labels) -> Iterator[tuple[int, Tensor]]:
        """Propagate labels through a video, frame by frame. Memory does not grow with the length of the video.

        Args:
            frames: uint8 RGB frames ``(T, 3, H, W)``, or any object with the same slicing.
            labels: Reference labels of some frames. Propagation begins at the first of these frames.

        Yields:
            Number and soft labels ``(K, h, w)`` of each frame, from the first frame with reference labels on.
        """
        return propagate_features(self._features(frames), labels, self.protocol)

    def forward(
        self, inputs: Sequence[Tensor], data_samples: Sequence[DataSample] | None = None, mode: str = 'tensor'
    ) -> list[Tensor] | list[DataSample]:
        """Entry point of MMEngine.

        Args:
            inputs: Videos ``(T, 3, h, w)``, uint8 RGB.
            data_samples: Data sample of each video with its reference labels, see ``docs/evaluation_data.md``.
            mode: ``'tensor'`` returns the features ``(T, C, h, w)`` of each video. ``'predict'`` returns the data
                samples with NumPy predictions: ``pred_masks`` ``(T, H, W)``, uint8, or ``pred_joints`` ``(T, J, 2)``,
                float64. ``protocol`` is a dict of all options.

        Raises:
            RuntimeError: In mode ``'loss'``, since the model is not trained.
        """
        if mode == 'tensor':
            return [torch.cat(list(self._feature_batches(frames))) for frames in inputs]
        if mode == 'predict':
            return [self._predict(frames, sample) for frames, sample in zip(inputs, data_samples, strict=True)]
        raise RuntimeError(f"LabelPropagator is frozen: its modes are 'predict' and 'tensor', not {mode!r}")

    def _predict(self, frames: Tensor, sample: DataSample) -> DataSample:
        labels = self._labels(frames, sample)
        found = count_frames(self.propagate(frames, labels), sample.get('video_name', 'video'))
        decoded = [labels.decode(frame, soft) for frame, soft in found]
        # there is no prediction before the first reference frame
        blanks = [torch.zeros_like(decoded[0])] * (len(frames) - len(decoded))
        sample.set_field(torch.stack(blanks + decoded).cpu().numpy(), labels.field)
        sample.set_field(dict(preset=self.preset, **self.protocol.as_dict()), 'protocol', field_type='metainfo')
        return sample

    def _labels(self, frames: Tensor, sample: DataSample) -> Labels:
        if 'reference_masks' in sample:
            return MaskLabels(sample.reference_masks, tuple(frames.shape[-2:]), tuple(sample.out_shape), self.protocol)
        return PoseLabels(sample.reference_joints, tuple(sample.ori_shape), self.protocol)

    @torch.no_grad()
    def _feature_batches(self, frames: Tensor) -> Iterator[Tensor]:
        state = None
        for start in range(0, len(frames), self.batch_size):
            batch = self._normalized(frames[start : start + self.batch_size])
            features, state = self.unit_features(batch, state)
            yield features

    def _features(self, frames: Tensor) -> Iterator[Tensor]:
        for batch in self._feature_batches(frames):
            yield from batch
