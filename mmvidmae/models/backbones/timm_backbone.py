"""Backbones of timm by name."""

from collections.abc import Sequence

from mmengine.model import BaseModule
from torch import Tensor

from mmvidmae.registry import MODELS


@MODELS.register_module()
class TimmBackbone(BaseModule):
    """Any model of timm that has intermediate features, with feature maps as outputs.

    It is for encoders that :class:`PairMAEViT` does not cover: DINOv3 (rotary positions), vision transformers with
    register tokens, hierarchical transformers, convolutional networks. Vision transformers take any input size that
    is divisible by the patch size. Class and register tokens are left out of the maps.

    ``tools/model_converters/convert.py --timm-model NAME`` converts the weights of timm and of the authors.

    Args:
        model_name: Name of the model in timm, such as ``'vit_small_patch16_dinov3'``.
        out_indices: Layers or stages whose maps are returned. Negative numbers count from the end. The final norm is
            applied to all maps of a vision transformer.
        init_cfg: Initialization config of MMEngine.
        **kwargs: Further arguments of ``timm.create_model``. ``pretrained=True`` lets timm download its weights.

    Raises:
        ImportError: If timm is not installed.
        ValueError: If timm has no such model, or the model has no intermediate features.
    """

    def __init__(
        self, model_name: str, out_indices: int | Sequence[int] = -1, init_cfg: dict | None = None, **kwargs
    ) -> None:
        super().__init__(init_cfg)
        timm = import_timm()
        if not timm.is_model(model_name):
            raise ValueError(f'TimmBackbone: timm {timm.__version__} has no model {model_name!r}; see timm.list_models')
        kwargs = dict(num_classes=0) | kwargs
        try:
            self.model = timm.create_model(model_name, dynamic_img_size=True, **kwargs)
        except TypeError:  # not a vision transformer
            self.model = timm.create_model(model_name, **kwargs)
        if not hasattr(self.model, 'forward_intermediates'):
            raise ValueError(f'TimmBackbone: {model_name} of timm {timm.__version__} has no intermediate features')
        self.out_indices = [out_indices] if isinstance(out_indices, int) else list(out_indices)

    def init_weights(self) -> None:
        """Load ``init_cfg``, if there is one. timm has initialized the model already."""
        if self.init_cfg:
            super().init_weights()

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Encode normalized frames ``(N, 3, H, W)``. Returns the maps ``(N, C, h, w)`` of ``out_indices``."""
        maps = self.model.forward_intermediates(
            x, indices=self.out_indices, norm=True, output_fmt='NCHW', intermediates_only=True
        )
        return tuple(maps)


def import_timm():
    """The module timm, which is optional.

    Raises:
        ImportError: If it is not installed.
    """
    try:
        import timm
    except ImportError as error:
        raise ImportError('Backbones of timm need the package timm: run `pip install timm`') from error
    return timm
