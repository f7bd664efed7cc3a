"""BAT: DropTrack or OSTrack for two modalities."""

from torch import nn

from mmvidmae.registry import MODELS

from .drop_track import DropTrack


@MODELS.register_module()
class BAT(DropTrack):
    """Tracker in pairs of aligned pictures, such as visible and thermal (AAAI 2024, arXiv:2312.10611).

    The interface is that of :class:`DropTrack` with six channels: frames ``(H, W, 6)`` and crops ``(N, 6, H, W)`` have
    the three channels of the first modality, then those of the second. Both modalities are cut alike around the same
    box.

    Args:
        backbone: Config of a :class:`TwoStreamViT`.
        adapters_only: Whether to train the adapters alone, as published. False trains all, as BAT's forks do.
        norm_eval: Whether the head's batch norms stay in evaluation mode in training, as published.
        **kwargs: Further arguments of :class:`DropTrack`.

    Source: SparkTempest/BAT@ccf9b2f:lib/train/base_functions.py:173-186, lib/train/trainers/ltr_trainer.py:69-71.
    """

    num_modalities = 2

    def __init__(self, backbone: dict, adapters_only: bool = True, norm_eval: bool = True, **kwargs) -> None:
        super().__init__(backbone, **kwargs)
        self.norm_eval = norm_eval
        if adapters_only:
            self.requires_grad_(False)
            self.backbone.adapters.requires_grad_(True)

    def train(self, mode: bool = True) -> 'BAT':
        """Set the mode of all parts but the batch norms that stay in evaluation mode."""
        super().train(mode)
        if self.norm_eval:
            for module in self.head.modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.eval()
        return self
