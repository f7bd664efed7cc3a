"""Models that the explorer shows."""

import warnings
from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from mmvidmae.models import PairMAE, PairMAEViT
from mmvidmae.models.propagation import LabelPropagator
from mmvidmae.models.trackers import FrozenTracker, SingleObjectTracker

from ..attention import reads_first_frame
from ..features import layer_tokens, patch_map, resize_to_patches
from ..model_zoo import get_model, list_models, load_weights, shipped_weights

SIAMMAE, DINOV2 = 'siammae-small', 'dinov2-small'
"""Names of the shipped small SiamMAE and of the converted DINOv2 ViT-S/14."""

SIAMMAE_MODEL = 'siammae_vit-tiny6-p8_1xb8-coslr-20e_clips'
DINOV2_MODEL = 'dinov2-vit-small-p14_dino_davis2017'

SEARCH_CELLS = 18
"""Side of the crop of a frozen tracker in patches, as in ``configs/frozen_tracking``."""


class ModelSource(NamedTuple):
    """Where a model comes from.

    Attributes:
        name: Name in the explorer.
        config: Name in the model index, or a config file.
        checkpoint: Its weights; None for random weights.
    """

    name: str
    config: str
    checkpoint: str | None


def small_models(dinov2: str | PathLike) -> dict[str, ModelSource]:
    """The models that are one click each.

    Args:
        dinov2: File of ``tools/model_converters/get_dinov2.py``.
    """
    weights = shipped_weights(SIAMMAE_MODEL) or Path('configs/small/weights/siammae_small.safetensors')
    return {
        SIAMMAE: ModelSource(SIAMMAE, SIAMMAE_MODEL, str(weights)),
        DINOV2: ModelSource(DINOV2, DINOV2_MODEL, str(dinov2)),
    }


def parse_models(words: Sequence[str], dinov2: str | PathLike) -> list[ModelSource]:
    """Read the models of a command line: ``CONFIG CHECKPOINT`` pairs, and names of :func:`small_models`.

    CONFIG may be a name of the model index, and CHECKPOINT ``none`` for random weights.

    Raises:
        ValueError: If a word is neither.
    """
    small, found, rest = small_models(dinov2), [], list(words)
    while rest:
        word = rest.pop(0)
        if word in small:
            found.append(small[word])
        elif word == SIAMMAE_MODEL and not (rest and (rest[0] == 'none' or Path(rest[0]).is_file())):
            found.append(small[SIAMMAE])
        elif not rest:
            known = word in list_models() or Path(word).is_file()
            hint = 'give its checkpoint after it' if known else 'give a CONFIG and a CHECKPOINT'
            raise ValueError(f'{word}: {hint}, or one of {", ".join(small)}')
        else:
            checkpoint = rest.pop(0)
            name = Path(word).stem
            if checkpoint != 'none':
                name = f'{name} ({Path(checkpoint).name})'
            found.append(ModelSource(name, word, None if checkpoint == 'none' else checkpoint))
    return found


class FrameFeatures(NamedTuple):
    """Features of a frame.

    Attributes:
        layers: Output of each layer, ``(D, h, w)``. Of other encoders than :class:`PairMAEViT`, the last output.
        keys: Attention keys of each layer, ``(heads, D / heads, h, w)``; empty for other encoders.
    """

    layers: list[Tensor]
    keys: list[Tensor]

    @property
    def size(self) -> int:
        """In bytes."""
        return sum(x.numel() * x.element_size() for x in (*self.layers, *self.keys))

    def choose(self, layer: int, head: int | None) -> Tensor:
        """Output of a layer, or the keys of one of its heads: ``(C, h, w)``. Negative layers count from the end.

        Raises:
            ValueError: If there is no such layer or head.
        """
        if not -len(self.layers) <= layer < len(self.layers):
            raise ValueError(f'layer {layer}: the encoder has layers {-len(self.layers)} to {len(self.layers) - 1}')
        if head is None:
            return self.layers[layer]
        if not self.keys or not 0 <= head < len(self.keys[layer]):
            heads = f'heads 0 to {len(self.keys[layer]) - 1}' if self.keys else 'no heads that can be shown'
            raise ValueError(f'head {head}: the encoder has {heads}')
        return self.keys[layer][head]


class LoadedModel:
    """A model with what the explorer asks of it.

    Args:
        source: Where it comes from.
        device: Device; by default the GPU or another accelerator, if available.

    Attributes:
        tracker: A trained tracker, or the frozen encoder as a tracker.
        propagator: The frozen encoder with the propagation protocol ``'dino'``; None for a trained tracker.

    Raises:
        FileNotFoundError: If there is no such config or checkpoint.
        ValueError: If the weights do not fit, or the model has no encoder that can be shown.
    """

    def __init__(self, source: ModelSource, device: str | torch.device | None = None) -> None:
        self.name = source.name
        if source.checkpoint is not None and not Path(source.checkpoint).is_file():
            raise FileNotFoundError(missing_weights(source))
        self.model: Any = get_model(source.config, None, device).eval()
        whole = True
        if source.checkpoint is not None:
            with warnings.catch_warnings():
                warnings.simplefilter('ignore')  # the views tell that the decoder is untrained
                whole = load_weights(self.model, source.checkpoint)
        self.trained_decoder = isinstance(self.model, PairMAE) and whole
        self.propagator: LabelPropagator | None = None
        if isinstance(self.model, SingleObjectTracker) and not isinstance(self.model, FrozenTracker):
            self.tracker: SingleObjectTracker = self.model
            return
        self.propagator = self._freeze()
        self.tracker = self.model if isinstance(self.model, FrozenTracker) else self._make_tracker()

    def _freeze(self) -> LabelPropagator:
        """The frozen encoder. A small frame shows whether it has a feature map."""
        backbone = getattr(self.model, 'backbone', None)
        if not isinstance(backbone, nn.Module):
            raise ValueError(f'{self.name}: a {type(self.model).__name__} has no encoder of single frames')
        self.backbone: Any = backbone
        self.layered = type(backbone).forward is PairMAEViT.forward
        self.patch_size = getattr(backbone, 'patch_size', 32)  # 32 divides what other encoders ask for
        statistics = {
            name: getattr(self.model.data_preprocessor, name).flatten().tolist()
            for name in ('mean', 'std')
            if hasattr(self.model.data_preprocessor, name)
        }
        propagator = LabelPropagator(backbone, 'dino', data_preprocessor=statistics or None)
        propagator.to(next(backbone.parameters()).device)
        side = 4 * self.patch_size
        try:
            propagator.extract_feat(torch.zeros(1, 3, side, side, dtype=torch.uint8))
        except (RuntimeError, TypeError, ValueError) as error:
            reason = str(error).splitlines()[0]
            raise ValueError(f'{self.name}: its encoder gives no feature map of a single frame: {reason}') from error
        return propagator

    def _make_tracker(self) -> FrozenTracker:
        """The tracker of ``configs/frozen_tracking``."""
        assert self.propagator is not None
        statistics = {
            name: getattr(self.propagator.data_preprocessor, name).flatten().tolist() for name in ('mean', 'std')
        }
        tracker = FrozenTracker(
            self.backbone,
            matcher=dict(type='mmvidmae.PropagationMatcher'),
            search_size=SEARCH_CELLS * self.patch_size,
            data_preprocessor=dict(type='mmvidmae.CropPreprocessor', bgr_to_rgb=False, **statistics),
        )
        return tracker.to(next(self.backbone.parameters()).device)

    @property
    def encoder(self) -> LabelPropagator:
        """The frozen encoder.

        Raises:
            ValueError: If the model is a trained tracker.
        """
        if self.propagator is None:
            raise ValueError(f'{self.name} is a trained tracker: it is for the view Track')
        return self.propagator

    @property
    def decoder(self) -> PairMAE:
        """The pre-training model of pairs.

        Raises:
            ValueError: If there is no trained decoder, or it is not one of pairs.
        """
        if not isinstance(self.model, PairMAE):
            raise ValueError(
                f'{self.name} has only an encoder: this view needs a model with its decoder, like {SIAMMAE}'
            )
        if not self.trained_decoder:
            raise ValueError(
                f'{self.name}: the checkpoint holds the encoder alone, and its decoder is untrained: '
                'give the checkpoint of the whole model'
            )
        if self.model.num_frames != 2:
            raise ValueError(f'{self.name} reads clips of {self.model.num_frames} frames: this view shows pairs')
        return self.model

    @property
    def has_attention(self) -> bool:
        """Whether there is a trained decoder that predicts the future frame from the past frame."""
        return self.trained_decoder and self.model.num_frames == 2 and reads_first_frame(self.model)

    @property
    def num_layers(self) -> int:
        """Number of layers whose features are shown."""
        return self.backbone.num_layers if self.propagator is not None and self.layered else 1

    @property
    def num_heads(self) -> int:
        """Number of heads whose keys are shown."""
        return self.backbone.layers[0].attn.num_heads if self.propagator is not None and self.layered else 0

    def input_of(self, frame: np.ndarray, short_side: int) -> Tensor:
        """A frame ``(H, W, 3)``, uint8 RGB, as the encoder gets it: ``(3, h, w)``, sides divisible by the patch."""
        pixels = torch.from_numpy(np.ascontiguousarray(frame)).permute(2, 0, 1)
        return resize_to_patches(pixels, max(short_side, self.patch_size), self.patch_size)

    @torch.no_grad()
    def features(self, frame: np.ndarray, short_side: int) -> FrameFeatures:
        """Encode a frame ``(H, W, 3)``, uint8 RGB. Results are on the CPU."""
        image = self.input_of(frame, short_side)[None]
        if not self.layered:
            return FrameFeatures([self.encoder.extract_feat(image)[0].cpu()], [])
        preprocessor: Any = self.encoder.data_preprocessor
        keys: list[Tensor] = []
        handles = [
            layer.attn.qkv.register_forward_hook(lambda _, x, out: keys.append(out.chunk(3, dim=-1)[1].clone()))
            for layer in self.backbone.layers
        ]
        try:
            inputs = preprocessor.normalize(image.to(preprocessor.device))
            tokens, grid = layer_tokens(self.backbone, inputs, range(self.num_layers))
        finally:
            for handle in handles:
                handle.remove()
        layers = [patch_map(self.backbone, tokens[layer], grid)[0].cpu() for layer in range(self.num_layers)]
        return FrameFeatures(
            layers, [patch_map(self.backbone, x, grid)[0].unflatten(0, (self.num_heads, -1)).cpu() for x in keys]
        )


def missing_weights(source: ModelSource) -> str:
    """What to do when the weights of a model are not there."""
    if source.name == DINOV2:
        return (
            f'{source.checkpoint} is not there: run `python tools/model_converters/get_dinov2.py {source.checkpoint}`, '
            'or name a file with --dinov2'
        )
    if source.name == SIAMMAE:
        return f'{source.checkpoint} is not there: wheels do not contain it, a checkout of the repository does'
    return f'{source.checkpoint} is not there: give the checkpoint of {source.config}'
