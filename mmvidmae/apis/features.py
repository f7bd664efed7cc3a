"""Features of single frames."""

from collections.abc import Sequence
from os import PathLike
from typing import Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms.v2.functional import to_image

from mmvidmae.models import PairMAE
from mmvidmae.utils.images import UnreadableImage, decode_image, rgb_of

Frame = str | PathLike | Image.Image | np.ndarray | Tensor


@torch.no_grad()
def extract_features(
    model: PairMAE,
    frames: Tensor | np.ndarray | Sequence[Frame],
    layers: Sequence[int] | None = None,
    out: Literal['map', 'tokens'] = 'map',
) -> Tensor | tuple[Tensor, ...]:
    """Encode N frames, each by itself and nothing hidden.

    With identity embeddings (DropMAE) a frame gets that of the earlier one.

    Args:
        model: A pair model, as from :func:`get_model`. Its own preprocessor normalises the frames and moves them to its
            device.
        frames: uint8 RGB, either ``(N, 3, H, W)``, or a list whose N items are image files, PIL images, arrays
            ``(H, W, 3)`` or tensors ``(3, H, W)``, of one size. Any size divisible by the patch will do: the position
            embedding is interpolated.
        layers: Numbers of the layers wanted, from 0, or negative to count from the last; by default the last one. Its
            output has gone through the final norm, if there is one; that of other layers has not.
        out: ``'map'`` for ``(N, D, H / p, W / p)`` with patches of side p, ``'tokens'`` for
            ``(N, L, D)`` with L = H / p * W / p tokens, row by row, after the class token where the model has one.

    Returns:
        The last layer's features, or, if ``layers`` are given, a tuple with those of each, in this order. On the
        model's device.

    Raises:
        FileNotFoundError: If there is no such image file.
        ValueError: If frames are of another type, shape or size than this, an image file is damaged, or there is no
            such layer.
    """
    if out not in ('map', 'tokens'):
        raise ValueError(f"out must be 'map' or 'tokens', got {out!r}")
    backbone = model.backbone
    depth = backbone.num_layers
    wanted = [depth - 1] if layers is None else [layer + depth if layer < 0 else layer for layer in layers]
    if not all(0 <= layer < depth for layer in wanted):
        raise ValueError(f'layers must lie between {-depth} and {depth - 1}, got {list(layers or ())}')

    batch = dict(inputs=_to_batch(frames)[:, None], data_samples=None)  # one frame in the place of pairs
    frames = model.data_preprocessor(batch)['inputs']
    tokens, grid = backbone.embed(frames)
    outputs = dict(zip(sorted(set(wanted)), backbone.encode(backbone.with_cls(tokens[:, 0]), set(wanted))))
    if out == 'map':
        first = backbone.num_extra_tokens
        outputs = {layer: x[:, first:].mT.unflatten(2, grid) for layer, x in outputs.items()}
    return outputs[depth - 1] if layers is None else tuple(outputs[layer] for layer in wanted)


def _to_batch(frames: Tensor | np.ndarray | Sequence[Frame]) -> Tensor:
    """Frames ``(N, 3, H, W)``, uint8, of what the caller has."""
    if isinstance(frames, Tensor | np.ndarray):
        frames = torch.as_tensor(frames)
    else:
        images = [to_image(_read(frame)) for frame in frames]
        shapes = sorted({tuple(image.shape) for image in images})
        if len(shapes) != 1:
            raise ValueError(f'frames must be at least one, and of one size, got {len(images)} of shapes {shapes}')
        frames = torch.stack(images)
    if frames.ndim != 4 or frames.shape[1] != 3 or frames.dtype != torch.uint8:
        raise ValueError(
            f'frames must be uint8 RGB of shape (N, 3, H, W), got {frames.dtype} of shape {tuple(frames.shape)}'
        )
    return frames


def _read(frame: Frame) -> np.ndarray | Tensor:
    try:
        if isinstance(frame, str | PathLike):
            with open(frame, 'rb') as file:
                return decode_image(file.read())
        return rgb_of(frame) if isinstance(frame, Image.Image) else frame
    except UnreadableImage as error:
        raise ValueError(f'{frame}: {error}') from error
