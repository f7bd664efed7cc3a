"""Features of single frames."""

from collections.abc import Iterator, Sequence
from os import PathLike, fspath
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import torch
from PIL import Image
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor
from torchvision.transforms.v2.functional import to_image

from mmvidmae.datasets.sources import VIDEO_SUFFIXES
from mmvidmae.models import PairMAE
from mmvidmae.utils.images import UnreadableImage, decode_image, rgb_of

from .pairs import open_clip

Frame = str | PathLike | Image.Image | np.ndarray | Tensor
Frames = str | PathLike | Tensor | np.ndarray | Sequence[Frame]


def extract_features(
    model: PairMAE,
    frames: Frames,
    layers: Sequence[int] | None = None,
    out: Literal['map', 'tokens'] = 'map',
    short_side: int | None = None,
    batch_size: int = 16,
    progress: bool = True,
) -> Tensor | tuple[Tensor, ...]:
    """Encode N frames, each by itself and nothing hidden.

    With identity embeddings (DropMAE) a frame gets that of the earlier one. Files are read as they are encoded, so that
    memory is needed for ``batch_size`` frames and the result; :func:`feature_batches` does without the result, too.

    Args:
        model: A pair model, as from :func:`get_model`. Its own preprocessor normalizes the frames and moves them to its
            device.
        frames: The path of a picture, of a video or of a folder of pictures, which stand for all their frames; uint8
            RGB ``(N, 3, H, W)``; or a list of paths, PIL images, arrays ``(H, W, 3)`` and tensors ``(3, H, W)``. All
            frames have one size. Any size divisible by the patch will do: the position embedding is interpolated.
        layers: Numbers of the layers wanted, from 0, or negative to count from the last; by default the last one. Its
            output has gone through the final norm, if there is one; that of other layers has not.
        out: ``'map'`` for ``(N, D, H / p, W / p)`` with patches of side p, ``'tokens'`` for
            ``(N, L, D)`` with L = H / p * W / p tokens, row by row, after the class token where the model has one.
        short_side: Resize frames: their short side to about this many pixels, both sides to multiples of the patch. By
            default nothing is resized.
        batch_size: Frames that are encoded at a time.
        progress: Whether to show progress on stderr where there is more than one batch.

    Returns:
        The last layer's features, or, if ``layers`` are given, a tuple with those of each, in this order. On the
        model's device.

    Raises:
        FileNotFoundError: If there is no such image file.
        ValueError: If frames are of another type, shape or size than this, an image file is damaged, or there is no
            such layer.
        VideoReadError: If a video or folder cannot be read.
    """
    results: list[Tensor] = []
    done = 0
    number, batches = feature_batches(model, frames, layers, out, short_side, batch_size, progress)
    for batch in batches:
        results = results or [part.new_empty(number, *part.shape[1:]) for part in batch]
        for result, part in zip(results, batch, strict=True):
            result[done : done + len(part)] = part
        done += len(batch[0])
    return results[0] if layers is None else tuple(results)


def feature_batches(
    model: PairMAE,
    frames: Frames,
    layers: Sequence[int] | None = None,
    out: Literal['map', 'tokens'] = 'map',
    short_side: int | None = None,
    batch_size: int = 16,
    progress: bool = True,
) -> tuple[int, Iterator[tuple[Tensor, ...]]]:
    """As :func:`extract_features`, for what does not fit into memory as a whole.

    Returns:
        The number of frames, and an iterator over the features of at most ``batch_size`` frames at a time: a tuple with
        those of each layer.
    """
    if out not in ('map', 'tokens'):
        raise ValueError(f"out must be 'map' or 'tokens', got {out!r}")
    depth = model.backbone.num_layers
    wanted = [depth - 1] if layers is None else [layer + depth if layer < 0 else layer for layer in layers]
    if not all(0 <= layer < depth for layer in wanted):
        raise ValueError(f'layers must lie between {-depth} and {depth - 1}, got {list(layers or ())}')
    if batch_size < 1 or (short_side is not None and short_side < 1):
        raise ValueError(f'batch_size and short_side must be at least 1, got {batch_size} and {short_side}')
    number, images = _open(frames)
    if not number:
        raise ValueError('frames must be at least one, got none')

    def encode() -> Iterator[tuple[Tensor, ...]]:
        columns = (TextColumn('{task.description}'), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        shown = progress and number > batch_size
        with Progress(*columns, console=Console(stderr=True), disable=not shown) as bar:
            task = bar.add_task('features', total=number)
            for batch in _batches(images, short_side, model.backbone.patch_size, batch_size):
                yield _encode(model, batch, wanted, out)
                bar.advance(task, len(batch))

    return number, encode()


@torch.no_grad()
def _encode(model: PairMAE, frames: Tensor, wanted: Sequence[int], out: str) -> tuple[Tensor, ...]:
    backbone = model.backbone
    batch = dict(inputs=frames[:, None], data_samples=None)  # one frame in the place of pairs
    tokens, grid = backbone.embed(model.data_preprocessor(batch)['inputs'])
    outputs = dict(zip(sorted(set(wanted)), backbone.encode(backbone.with_cls(tokens[:, 0]), set(wanted))))
    if out == 'map':
        first = backbone.num_extra_tokens
        outputs = {layer: x[:, first:].mT.unflatten(2, grid) for layer, x in outputs.items()}
    return tuple(outputs[layer] for layer in wanted)


def _open(frames: Frames) -> tuple[int, Iterator[tuple[str, Tensor]]]:
    """The number of frames, and their names and images ``(C, H, W)`` one by one."""
    if isinstance(frames, Tensor | np.ndarray):
        frames = torch.as_tensor(frames)
        if frames.ndim != 4 or frames.shape[1] != 3 or frames.dtype != torch.uint8:
            raise ValueError(
                f'frames must be uint8 RGB of shape (N, 3, H, W), got {frames.dtype} of shape {tuple(frames.shape)}'
            )
    elif isinstance(frames, str | PathLike):
        frames = [frames]
    # not all open at once
    number = sum(len(open_clip(fspath(frame))) if _is_clip(frame) else 1 for frame in frames)  # type: ignore[arg-type, misc]

    def images() -> Iterator[tuple[str, Tensor]]:
        for index, frame in enumerate(frames):
            name = fspath(frame) if isinstance(frame, str | PathLike) else f'frame {index}'
            for image in open_clip(name) if _is_clip(frame) else [frame]:
                yield name, to_image(_read(image))

    return number, images()


def _is_clip(frame: Frame) -> bool:
    if not isinstance(frame, str | PathLike):
        return False
    return Path(frame).is_dir() or Path(frame).suffix.lower() in VIDEO_SUFFIXES


def _batches(
    images: Iterator[tuple[str, Tensor]], short_side: int | None, patch: int, batch_size: int
) -> Iterator[Tensor]:
    """Frames ``(n, 3, H, W)``, uint8, of one size that the patch divides."""
    batch, size = [], None
    for name, image in images:
        if image.ndim != 3 or len(image) != 3 or image.dtype != torch.uint8:
            raise ValueError(f'{name}: must be uint8 RGB, got {image.dtype} of shape {tuple(image.shape)}')
        if short_side is not None:
            image = _resize(image, short_side, patch)
        if size not in (None, image.shape):
            raise ValueError(
                f'{name}: frames must be of one size, got {_pixels(image)} after {size[1]} x {size[2]}: one call each'
            )
        if size is None and any(side % patch for side in image.shape[1:]):
            raise ValueError(
                f'{name}: {_pixels(image)} pixels do not divide into patches of {patch}: short_side resizes frames'
            )
        size = image.shape
        batch.append(image)
        if len(batch) == batch_size:
            yield torch.stack(batch)
            batch = []
    if batch:
        yield torch.stack(batch)


def _resize(image: Tensor, short_side: int, patch: int) -> Tensor:
    scale = short_side / min(image.shape[1:])
    height, width = (max(1, round(side * scale / patch)) * patch for side in image.shape[1:])
    pixels = image.permute(1, 2, 0).cpu().numpy()
    interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    return torch.from_numpy(cv2.resize(pixels, (width, height), interpolation=interpolation)).permute(2, 0, 1)


def _pixels(image: Tensor) -> str:
    return f'{image.shape[1]} x {image.shape[2]}'


def _read(frame: Frame) -> np.ndarray | Tensor:
    try:
        if isinstance(frame, str | PathLike):
            with open(frame, 'rb') as file:
                return decode_image(file.read())
        return rgb_of(frame) if isinstance(frame, Image.Image) else frame
    except UnreadableImage as error:
        raise ValueError(f'{frame}: {error}') from error
