"""STARK's head subclasses ``mmdet.models.layers.Transformer``, with configs of ``transformerlayers``.

Why: mmdet 3.0 rewrote DETR's transformer. It removed the class, and its encoder and decoder of the same names take
``layer_cfg`` instead. STARK's configs and published weights use the old form, which mmcv's
``TransformerLayerSequence`` still builds.
"""

import importlib
from collections.abc import Iterator
from contextlib import contextmanager

from mmcv.cnn import build_norm_layer
from mmcv.cnn.bricks.transformer import TransformerLayerSequence
from mmengine.model import BaseModule, xavier_init
from torch import Tensor, nn


class _Encoder(TransformerLayerSequence):
    """DETR's encoder of old configs. It normalizes its output if its layers normalize their inputs."""

    def __init__(self, post_norm_cfg: dict | None = None, **kwargs) -> None:
        super().__init__(**kwargs)
        post_norm_cfg = post_norm_cfg or dict(type='LN')
        self.post_norm = build_norm_layer(post_norm_cfg, self.embed_dims)[1] if self.pre_norm else None

    def forward(self, *args, **kwargs) -> Tensor:
        """Encode ``(L, N, D)``."""
        x = super().forward(*args, **kwargs)
        return x if self.post_norm is None else self.post_norm(x)


class _Decoder(TransformerLayerSequence):
    """DETR's decoder of old configs, whose output is normalized.

    Raises:
        NotImplementedError: For ``return_intermediate``, which no tracker uses.
    """

    def __init__(self, post_norm_cfg: dict | None = None, return_intermediate: bool = False, **kwargs) -> None:
        if return_intermediate:
            raise NotImplementedError('the bridge has no return_intermediate=True: no config of mmtrack uses it')
        super().__init__(**kwargs)
        self.post_norm = build_norm_layer(post_norm_cfg or dict(type='LN'), self.embed_dims)[1]

    def forward(self, query: Tensor, *args, **kwargs) -> Tensor:
        """Decode queries ``(Q, N, D)``; returns ``(1, Q, N, D)``."""
        return self.post_norm(super().forward(query, *args, **kwargs))[None]


class Transformer(BaseModule):
    """mmdet 2's ``Transformer`` without ``forward``, which STARK replaces.

    Parameters have the names of published weights: ``{encoder,decoder}.layers.<n>.{attentions,ffns,norms}`` and
    ``decoder.post_norm``.

    Args:
        encoder: Config with ``transformerlayers`` and ``num_layers``; its ``type`` is that of mmdet 2.
        decoder: The same for the decoder.
        init_cfg: Initialization config of MMEngine.
    """

    def __init__(self, encoder: dict, decoder: dict, init_cfg: dict | None = None) -> None:
        super().__init__(init_cfg)
        self.encoder, self.decoder = (
            part(**{key: value for key, value in cfg.items() if key not in ('type', '_scope_')})
            for part, cfg in ((_Encoder, encoder), (_Decoder, decoder))
        )
        self.embed_dims = self.encoder.embed_dims

    def init_weights(self) -> None:
        """Xavier for all matrices, as DETR does."""
        for module in self.modules():
            if hasattr(module, 'weight') and isinstance(module.weight, nn.Parameter) and module.weight.dim() > 1:
                xavier_init(module, distribution='uniform')
        self._is_init = True


@contextmanager
def old_transformer() -> Iterator[None]:
    """Let mmtrack import the class from where it was, unless mmdet has it."""
    layers = importlib.import_module('mmdet.models.layers')  # takes seconds
    if hasattr(layers, 'Transformer'):
        yield
        return
    layers.Transformer = Transformer
    try:
        yield
    finally:
        del layers.Transformer
