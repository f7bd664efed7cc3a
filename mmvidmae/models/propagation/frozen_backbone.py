"""Models with one frozen backbone and no other parameters."""

from collections.abc import Sequence

import torch.nn.functional as F
from mmengine.logging import MMLogger, print_log
from torch import Tensor, nn

from mmvidmae.registry import MODELS
from mmvidmae.utils.weights import load_pretrained


class FrozenBackbone(nn.Module):
    """Base of models whose only parameters are those of a frozen backbone with feature maps."""

    backbone: nn.Module

    def set_backbone(self, backbone: dict | nn.Module) -> None:
        """Set the backbone and put the model into evaluation mode.

        Args:
            backbone: Config of a backbone whose last output is a feature map ``(N, C, h, w)``, such as ours,
                ``mmpretrain.VisionTransformer`` with ``out_type='featmap'``, or a ResNet. Its weights are initialized
                (also from ``init_cfg``) here, since MMEngine initializes only models that it trains. Or a module.
        """
        if isinstance(backbone, dict):
            backbone = MODELS.build(backbone)
            _init_quietly(backbone)
        self.backbone = backbone
        self.eval()

    def train(self, mode: bool = True) -> 'FrozenBackbone':
        """Keep the frozen model in evaluation mode. Returns the model."""
        return super().train(False)

    @property
    def recurrent(self) -> bool:
        """Whether the backbone runs through a video and has a state (:class:`RecurrentViT`)."""
        return hasattr(self.backbone, 'forward_video')

    def unit_features(self, frames: Tensor, memory: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """Extract features of the next frames of a video.

        Args:
            frames: Normalized frames ``(N, 3, H, W)`` in their order.
            memory: State of a recurrent backbone after the frames before, or None at the begin of the video.

        Returns:
            Unit-length features ``(N, C, h, w)``, float32, and the state of a recurrent backbone, else None.

        Raises:
            ValueError: If the last output of the backbone is not a feature map.
        """
        if self.recurrent:
            outputs, memory = self.backbone.forward_video(frames, memory)
        else:
            outputs = self.backbone(frames)
        return self._unit(outputs), memory

    def _unit(self, outputs: Tensor | Sequence[Tensor]) -> Tensor:
        features = outputs[-1] if isinstance(outputs, Sequence) else outputs
        if not isinstance(features, Tensor) or features.ndim != 4:
            raise ValueError(
                f"the last output of {type(self.backbone).__name__} is no feature map (N, C, h, w): mmpretrain's "
                "vision transformers give one with out_type='featmap'"
            )
        return F.normalize(features.float(), dim=1)

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
