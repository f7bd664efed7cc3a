"""Label propagation model: frozen features propagate the labels of the first frame through a video."""

from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from mmengine.logging import MMLogger, print_log
from mmengine.model import BaseDataPreprocessor, BaseModel
from mmpretrain.structures import DataSample
from torch import Tensor, nn

from mmvidmae.registry import MODELS
from mmvidmae.utils.progress import count_frames
from mmvidmae.utils.weights import load_pretrained

from .context import propagate_features
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
class LabelPropagator(BaseModel):
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
        if isinstance(backbone, dict):
            backbone = MODELS.build(backbone)
            _init_quietly(backbone)
        self.backbone = backbone
        self.eval()

    def train(self, mode: bool = True) -> 'LabelPropagator':
        """Keep the frozen model in evaluation mode. Returns the model."""
        return super().train(False)

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

    def _unit(self, outputs: Tensor | Sequence[Tensor]) -> Tensor:
        features = outputs[-1] if isinstance(outputs, Sequence) else outputs
        if not isinstance(features, Tensor) or features.ndim != 4:
            raise ValueError(
                f"the last output of {type(self.backbone).__name__} is no feature map (N, C, h, w): mmpretrain's "
                "vision transformers give one with out_type='featmap'"
            )
        return F.normalize(features.float(), dim=1)

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
            if hasattr(self.backbone, 'forward_video'):
                outputs, state = self.backbone.forward_video(batch, state)
            else:
                outputs = self.backbone(batch)
            yield self._unit(outputs)

    def _features(self, frames: Tensor) -> Iterator[Tensor]:
        for batch in self._feature_batches(frames):
            yield from batch

    def _load_from_state_dict(self, state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, errors):
        """Load the encoder of a checkpoint and ignore the rest.

        A mismatch is an error. MMEngine would only warn and evaluate partly random weights.
        """
        ours = f'{prefix}backbone.'
        own = {ours + name for name in self.backbone.state_dict()}
        given = {name for name in state_dict if name.startswith(ours)}
        if not given:
            found = ', '.join(sorted(state_dict)[:3]) or 'nothing'
            raise ValueError(
                f'the checkpoint has no parameter of the backbone (it has {found}, ...): convert the weights of other '
                'code with tools/model_converters/convert.py'
            )
        missing = sorted(name for name in own - given if not name.endswith('num_batches_tracked'))
        unknown = sorted(given - own)
        if missing or unknown:
            raise ValueError(
                f'the checkpoint does not fit the backbone: missing {missing[:5] or "nothing"}, unknown '
                f'{unknown[:5] or "nothing"}. DropMAE and TwinMAE need model.backbone.frame_embed=True and '
                'model.backbone.with_cls_token=False, as in configs/propagation/dropmae-*; other sizes another arch'
            )
        others = {name.split('.')[0] for name in state_dict if not name.startswith(ours)}
        if others:
            print_log(f'Only the backbone is loaded, and not {", ".join(sorted(others))}', 'current')
        for name in [name for name in state_dict if not name.startswith(ours)]:
            del state_dict[name]
        super()._load_from_state_dict(state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, errors)


def _init_quietly(backbone: nn.Module) -> None:
    """Initialize without MMEngine's list of all parameters, which is meant for training logs.

    The weights of ``init_cfg`` must be complete, since the model is not trained.
    """
    if not hasattr(backbone, 'init_weights'):
        return
    if load_pretrained(backbone):
        return
    logger = MMLogger.get_current_instance()
    level = logger.level
    logger.setLevel('WARNING')
    try:
        backbone.init_weights()
    finally:
        logger.setLevel(level)
