"""Features of single frames."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from itertools import count
from os import PathLike, fspath
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
import torch
from mmengine.structures import BaseDataElement
from PIL import Image
from torch import Tensor
from torchvision.transforms.v2.functional import to_image

from mmvidmae.datasets.sources import VIDEO_SUFFIXES
from mmvidmae.models import PairMAE, PairMAEViT
from mmvidmae.utils.files import atomic_write
from mmvidmae.utils.images import UnreadableImage, decode_image, rgb_of
from mmvidmae.visualization import FeatureVisualizer, principal_components

from .base import VideoInferencer
from .pairs import open_clip
from .videos import DEFAULT_FPS, Interrupted, Source, stem_of

Frame = str | PathLike | Image.Image | np.ndarray | Tensor
Frames = str | PathLike | Tensor | np.ndarray | Sequence[Frame]


class FeatureInferencer(VideoInferencer):
    """Encodes frames separately, with nothing hidden. See :class:`VideoInferencer` for the arguments of the
    constructor.

    With identity embeddings (DropMAE), frames get that of the earlier frame. Files are read while frames are encoded.

    Example:
        >>> features = FeatureInferencer('CONFIG.py', 'CHECKPOINT.pth')
        >>> features(['a.jpg', 'b.jpg'])['predictions']     # (2, D, H / p, W / p)
        >>> features('video.mp4', out_dir='results')['predictions']     # read from the file as it is needed
    """

    model_type = PairMAE
    visualizer_type = FeatureVisualizer
    preprocess_kwargs = {'short_side'}
    forward_kwargs = {'layers', 'out_type'}
    postprocess_kwargs = {'dtype'}

    def __call__(  # type: ignore[override]
        self,
        inputs: Frames,
        layers: Sequence[int] | None = None,
        out_type: Literal['featmap', 'raw'] = 'featmap',
        short_side: int | None = None,
        dtype: torch.dtype | None = None,
        return_datasamples: bool = False,
        batch_size: int = 16,
        out_dir: str | PathLike | None = None,
        save_pred: bool = True,
        save_vis: bool = True,
        vis_format: str = '.mp4',
        fps: float | None = None,
    ) -> dict[str, Any]:
        """Encode N frames.

        Args:
            inputs: One of: the path of an image, a video or a folder of images, of which all frames are used; uint8
                RGB ``(N, 3, H, W)``; a list of paths, PIL images, arrays ``(H, W, 3)`` and tensors ``(3, H, W)``. All
                frames must have one size, divisible by the patch size. The position embedding is interpolated to it.
            layers: Layer numbers from 0; negative numbers count from the end. By default the last layer. Only the
                output of the last layer has passed the final norm, if there is one.
            out_type: ``'featmap'`` gives ``(N, D, H / p, W / p)`` with patch side p. ``'raw'`` gives ``(N, L, D)`` with
                L = H / p * W / p tokens, row by row, preceded by the class token if the model has one.
            short_side: Approximate short side in pixels to which frames are resized. Both sides become multiples of the
                patch size. By default frames are not resized.
            dtype: Type of the features; by default that of the model.
            return_datasamples: Whether to return a data sample for each frame, with the frame.
            batch_size: Number of frames that are encoded at a time.
            out_dir: Folder for output files. By default nothing is written.
            save_pred: Whether to write ``<out_dir>/preds/<name>_layer<number>.npy`` for each layer. Features need not
                fit into memory then. An interrupted call leaves no file.
            save_vis: Whether to write ``<out_dir>/vis/<name>.mp4``, which shows the frames beside their features, in
                colors of the three principal components of the first frame's features.
            vis_format: Suffix of this video.
            fps: Frames per second of this video; by default 25.

        Returns:
            ``predictions``: features of the last layer, or, if ``layers`` is given, a tuple with the features of each
            layer in that order; tensors on the model's device, or read-only arrays that are mapped from the files if
            ``out_dir`` is given. Or data samples with ``frame``, ``features`` (a tuple) and ``feature_map`` (of the
            last layer in ``layers``). ``visualization``: path of the video, or None.

        Raises:
            FileNotFoundError: If an image file does not exist.
            ValueError: If frames have an unsupported type, shape or size, an image file is damaged, or a layer does not
                exist.
            VideoReadError: If a video or folder cannot be read.
        """
        outputs = (out_dir, save_pred, save_vis, vis_format, fps)
        given: dict[str, Any] = dict(layers=layers, out_type=out_type, short_side=short_side, dtype=dtype)
        results = super().__call__(inputs, return_datasamples, batch_size, *outputs, **given)
        if layers is None and not return_datasamples:
            (results['predictions'],) = results['predictions']
        return results

    def preprocess(self, inputs: Frames, batch_size: int = 16, short_side: int | None = None) -> Source:
        """Open the frames. Items are batches ``(n, 3, H, W)``, uint8."""
        if batch_size < 1 or (short_side is not None and short_side < 1):
            raise ValueError(f'batch_size and short_side must be at least 1, got {batch_size} and {short_side}')
        number, images = _open(inputs)
        if not number:
            raise ValueError('frames must be at least one, got none')
        path = inputs[0] if isinstance(inputs, Sequence) and len(inputs) == 1 else inputs
        stem = stem_of(fspath(path)) if isinstance(path, str | PathLike) else 'frames'
        batches = _batches(images, short_side, self.model.backbone.patch_size, batch_size)
        return Source('features', number, DEFAULT_FPS, batches, stem=stem)

    def forward(
        self,
        inputs: Iterable[Tensor],
        layers: Sequence[int] | None = None,
        out_type: Literal['featmap', 'raw'] = 'featmap',
    ) -> Iterator[BaseDataElement]:
        """Encode batches of frames. Yields a sample for each frame."""
        if out_type not in ('featmap', 'raw'):
            raise ValueError(f"out_type must be 'featmap' or 'raw', got {out_type!r}")
        depth = self.model.backbone.num_layers
        wanted = [depth - 1] if layers is None else [layer + depth if layer < 0 else layer for layer in layers]
        if not all(0 <= layer < depth for layer in wanted):
            raise ValueError(f'layers must lie between {-depth} and {depth - 1}, got {list(layers or ())}')
        return self._encode(inputs, wanted, out_type)

    @torch.no_grad()
    def _encode(self, batches: Iterable[Tensor], wanted: list[int], out_type: str) -> Iterator[BaseDataElement]:
        backbone, numbers = self.model.backbone, count()
        for frames in batches:
            batch = dict(inputs=frames[:, None], data_samples=None)  # one frame instead of a pair
            outputs, grid = layer_tokens(backbone, self.model.data_preprocessor(batch)['inputs'][:, 0], wanted)
            maps = {layer: patch_map(backbone, tokens, grid) for layer, tokens in outputs.items()}
            chosen = maps if out_type == 'featmap' else outputs
            for row, frame in enumerate(frames.permute(0, 2, 3, 1).cpu().numpy()):
                yield BaseDataElement(
                    metainfo=dict(frame_id=next(numbers), layers=tuple(wanted)),
                    frame=frame,
                    features=tuple(chosen[layer][row] for layer in wanted),
                    feature_map=maps[wanted[-1]][row],
                )

    def postprocess(
        self,
        preds: Iterable[BaseDataElement],
        source: Source,
        path: Path | None,
        results: dict[str, Any],
        dtype: torch.dtype | None = None,
    ) -> Iterator[BaseDataElement]:
        """Gather features in tensors or files."""
        number, done = source.length or 0, 0
        files: list[str] = []
        arrays: list[Any] = []
        with ExitStack() as opened:
            for done, pred in enumerate(preds, 1):
                features = [part.to(dtype) if dtype else part for part in pred.features]
                if path is None:
                    arrays = arrays or [part.new_empty(number, *part.shape) for part in features]
                else:
                    features = [part.cpu().numpy() for part in features]
                    files = files or [f'{path}_layer{layer}.npy' for layer in pred.layers]
                    if not arrays:
                        parts = [opened.enter_context(atomic_write(file)) for file in files]
                        arrays = [
                            np.lib.format.open_memmap(part, 'w+', x.dtype, (number, *x.shape))
                            for part, x in zip(parts, features)
                        ]
                for array, part in zip(arrays, features):
                    array[done - 1] = part
                yield pred
            if done < number:  # files hold all frames or are not there
                raise Interrupted(done)
            for array in arrays if files else ():
                array.flush()
        results['predictions'] = tuple(np.load(file, mmap_mode='r') for file in files) if files else tuple(arrays)

    def visualize(self, preds: Iterable[BaseDataElement], vis_format: str = '.mp4') -> Iterator[np.ndarray]:
        """Draw frames beside their features."""
        components = None
        for pred in preds:
            if components is None:
                components = principal_components(pred.feature_map)
            yield self.visualizer.add_datasample('features', pred.frame, pred, components, pred.frame_id)


def layer_tokens(
    backbone: PairMAEViT, frames: Tensor, layers: Sequence[int]
) -> tuple[dict[int, Tensor], tuple[int, int]]:
    """Encode normalized single frames ``(N, 3, H, W)``. Returns the tokens ``(N, L, D)`` of each of the layers (from 0)
    and the patch grid."""
    tokens, grid = backbone.embed(frames[:, None])
    wanted = sorted(set(layers))
    return dict(zip(wanted, backbone.encode(backbone.with_cls(tokens[:, 0]), wanted))), grid


def patch_map(backbone: PairMAEViT, tokens: Tensor, grid: tuple[int, int]) -> Tensor:
    """Arrange tokens ``(N, L, D)`` as a map ``(N, D, h, w)``, without the class token."""
    return tokens[:, backbone.num_extra_tokens :].mT.unflatten(2, grid)


def _open(frames: Frames) -> tuple[int, Iterator[tuple[str, Tensor]]]:
    """Number of frames, and an iterator over their names and images ``(C, H, W)``."""
    if isinstance(frames, Tensor | np.ndarray):
        frames = torch.as_tensor(frames)
        if frames.ndim != 4 or frames.shape[1] != 3 or frames.dtype != torch.uint8:
            raise ValueError(
                f'frames must be uint8 RGB of shape (N, 3, H, W), got {frames.dtype} of shape {tuple(frames.shape)}'
            )
    elif isinstance(frames, str | PathLike):
        frames = [frames]
    # clips are opened one at a time
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
    """Yield batches of uint8 frames ``(n, 3, H, W)`` of one size that is divisible by the patch size."""
    batch, size = [], None
    for name, image in images:
        if image.ndim != 3 or len(image) != 3 or image.dtype != torch.uint8:
            raise ValueError(f'{name}: must be uint8 RGB, got {image.dtype} of shape {tuple(image.shape)}')
        if short_side is not None:
            image = resize_to_patches(image, short_side, patch)
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


def resize_to_patches(image: Tensor, short_side: int, patch: int) -> Tensor:
    """Resize an image ``(3, H, W)``, uint8, to about this short side. Both sides become multiples of the patch size."""
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
