"""Frozen features at work: labels of the first frame, carried through a video by similarity."""

from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from mmengine.logging import MMLogger, print_log
from mmengine.model import BaseDataPreprocessor, BaseModel
from mmengine.runner import CheckpointLoader
from mmpretrain.structures import DataSample
from torch import Tensor, nn

from mmvidmae.registry import MODELS
from mmvidmae.utils.progress import count_frames
from mmvidmae.utils.weights import load_whole

from .context import propagate_features
from .labels import Labels, MaskLabels, PoseLabels
from .protocol import make_protocol


@MODELS.register_module()
class VideoSequencePreprocessor(BaseDataPreprocessor):
    """Moves videos to the device as they are, uint8; :meth:`normalize` is for the few frames in work.

    Args:
        mean: Of R, G and B, 0 to 255.
        std: Of R, G and B, 0 to 255.
        non_blocking: Whether the copy to the device may overlap with work.
    """

    def __init__(self, mean: Sequence[float], std: Sequence[float], non_blocking: bool = True) -> None:
        super().__init__(non_blocking)
        for name, value in (('mean', mean), ('std', std)):
            self.register_buffer(name, torch.tensor(value).view(3, 1, 1), persistent=False)

    def normalize(self, frames: Tensor) -> Tensor:
        """Normalize RGB frames ``(N, 3, h, w)``, uint8, on their device; float32."""
        return (frames - self.mean) / self.std


@MODELS.register_module()
class LabelPropagator(BaseModel):
    """Propagates the labels of a video's first frame with the features of a frozen backbone.

    Each cell of a frame takes the mean of the labels of the most similar cells of earlier frames, weighted by the
    softmax of cosine similarities. There are no parameters but the backbone's.

    Args:
        backbone: Config of any backbone whose last output is a feature map ``(N, C, h, w)``: ours,
            ``mmpretrain.VisionTransformer`` with ``out_type='featmap'``, a ResNet. It gets its initial weights (or
            those of its ``init_cfg``) when it is built, since MMEngine initializes only what it trains. Or the module
            itself, which is put into evaluation mode.
        protocol: How labels are propagated: a name of :data:`PROTOCOLS`, or a dict with ``preset`` and the options of
            :class:`PropagationProtocol` that differ.
        batch_size: Frames that the backbone encodes at a time; the result does not depend on it.
        data_preprocessor: Config of :class:`VideoSequencePreprocessor`; by default ImageNet's mean and deviation.

    Raises:
        ValueError: If the protocol has no such preset or option, or a value is out of range.
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
        """A frozen model has one mode, evaluation; returns itself."""
        return super().train(False)

    @torch.no_grad()
    def extract_feat(self, frames: Tensor) -> Tensor:
        """Features of unit length ``(N, C, h, w)``, float32, of frames ``(N, 3, H, W)``, uint8 RGB on any device.

        Raises:
            ValueError: If the backbone gives no feature map.
        """
        frames = frames.to(self.data_preprocessor.device, non_blocking=True)
        outputs = self.backbone(self.data_preprocessor.normalize(frames))
        features = outputs[-1] if isinstance(outputs, Sequence) else outputs
        if not isinstance(features, Tensor) or features.ndim != 4:
            raise ValueError(
                f"the last output of {type(self.backbone).__name__} is no feature map (N, C, h, w): mmpretrain's "
                "vision transformers give one with out_type='featmap'"
            )
        return F.normalize(features.float(), dim=1)

    @torch.no_grad()
    def propagate(self, frames: Tensor, labels: Labels) -> Iterator[tuple[int, Tensor]]:
        """Carry labels through a video, frame by frame; memory does not grow with its length.

        Args:
            frames: ``(T, 3, H, W)``, uint8 RGB, or anything that is sliced like it.
            labels: Labels that some frames come with, the first of them being where to begin.

        Yields:
            The number of a frame and its soft labels ``(K, h, w)``, from the first given frame on.
        """
        return propagate_features(self._features(frames), labels, self.protocol)

    def forward(
        self, inputs: Sequence[Tensor], data_samples: Sequence[DataSample] | None = None, mode: str = 'tensor'
    ) -> list[Tensor] | list[DataSample]:
        """Entry point of MMEngine.

        Args:
            inputs: Videos ``(T, 3, h, w)``, uint8 RGB.
            data_samples: For each video what is given, see ``docs/evaluation_data.md``.
            mode: ``'tensor'`` gives the features ``(T, C, h, w)`` of each video, ``'predict'`` its data samples with
                ``pred_masks`` ``(T, H, W)``, uint8, or ``pred_joints`` ``(T, J, 2)``, float64, as NumPy arrays, and
                ``protocol``, a dict of all options.

        Raises:
            RuntimeError: In mode ``'loss'``: nothing is learned here.
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
        # before the first given frame there is nothing to predict
        blanks = [torch.zeros_like(decoded[0])] * (len(frames) - len(decoded))
        sample.set_field(torch.stack(blanks + decoded).cpu().numpy(), labels.field)
        sample.set_field(dict(preset=self.preset, **self.protocol.as_dict()), 'protocol', field_type='metainfo')
        return sample

    def _labels(self, frames: Tensor, sample: DataSample) -> Labels:
        if 'reference_masks' in sample:
            return MaskLabels(sample.reference_masks, tuple(frames.shape[-2:]), tuple(sample.out_shape), self.protocol)
        return PoseLabels(sample.reference_joints, tuple(sample.ori_shape), self.protocol)

    def _feature_batches(self, frames: Tensor) -> Iterator[Tensor]:
        for start in range(0, len(frames), self.batch_size):
            yield self.extract_feat(frames[start : start + self.batch_size])

    def _features(self, frames: Tensor) -> Iterator[Tensor]:
        for batch in self._feature_batches(frames):
            yield from batch

    def _load_from_state_dict(self, state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, errors):
        """Take the encoder of a checkpoint and leave the rest.

        What does not fit is an error: MMEngine would only warn, and score weights that are random in part.
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
    """Initialize without MMEngine's list of every parameter, which is for training logs.

    Weights of ``init_cfg`` must be whole: nothing is trained here that could make up for random ones.
    """
    if not hasattr(backbone, 'init_weights'):
        return
    init_cfg = getattr(backbone, 'init_cfg', None)
    if isinstance(init_cfg, dict) and init_cfg['type'] == 'Pretrained':
        checkpoint, prefix = init_cfg['checkpoint'], init_cfg.get('prefix') or ''
        state_dict = CheckpointLoader.load_checkpoint(checkpoint, 'cpu')
        state_dict = state_dict.get('state_dict', state_dict)
        state_dict = {key.removeprefix(prefix): value for key, value in state_dict.items() if key.startswith(prefix)}
        load_whole(backbone, state_dict, checkpoint)
        return
    logger = MMLogger.get_current_instance()
    level = logger.level
    logger.setLevel('WARNING')
    try:
        backbone.init_weights()
    finally:
        logger.setLevel(level)
