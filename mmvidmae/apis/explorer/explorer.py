"""What the explorer shows, without its page."""

from collections.abc import Iterator, Sequence
from contextlib import closing
from os import PathLike
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
from mmpretrain.structures import DataSample
from torch import Tensor

from mmvidmae.datasets import VideoReadError
from mmvidmae.datasets.sources import IMAGE_SUFFIXES, VIDEO_SUFFIXES, scan
from mmvidmae.structures.boxes import check_box

from ..attention import DecoderAttention, decoder_attention
from ..correspondence import PointMatches, match_point
from ..pairs import open_clip
from ..reconstruction import ReconstructionInferencer, masking_ratio
from ..tracking import TrackingInferencer
from .costs import Cache, Costs
from .encoders import FrameFeatures, LoadedModel, ModelSource, small_models
from .prompts import Region, format_regions
from .propagation import CorrectedPropagation

MEBIBYTE = 2**20

Box = tuple[float, float, float, float]


class HiddenPatches(NamedTuple):
    """A masked pair of frames and the decoder's attention.

    Attributes:
        frames: The frames as the model gets them, ``(2, H, W, 3)`` uint8 RGB.
        attention: Attention of the decoder for this pair.
        grid: Number of rows and columns of patches.
    """

    frames: np.ndarray
    attention: DecoderAttention
    grid: tuple[int, int]

    def patch_at(self, x: float, y: float) -> int:
        """Number of the patch at (x, y) in 0..1 of the future frame.

        Raises:
            ValueError: If the patch is visible.
        """
        rows, columns = self.grid
        patch = min(int(y * rows), rows - 1) * columns + min(int(x * columns), columns - 1)
        if not self.attention.hidden[0, 1, patch]:
            raise ValueError('this patch is visible: click one of the hidden patches, which are gray')
        return patch

    def weights(self, patch: int, layer: int, head: int | None) -> np.ndarray:
        """Attention ``(F, h, w)`` of a patch of the future frame to the frames that are read, of one head or the mean.

        Raises:
            ValueError: If there is no such layer or head.
        """
        layers = self.attention.layers
        if not -len(layers) <= layer < len(layers):
            raise ValueError(f'layer {layer}: the decoder has layers {-len(layers)} to {len(layers) - 1}')
        heads = layers[layer][0]
        if head is not None and not 0 <= head < len(heads):
            raise ValueError(f'head {head}: the decoder has heads 0 to {len(heads) - 1}')
        weights = heads.mean(0) if head is None else heads[head]
        return weights[patch].unflatten(1, self.grid).numpy()


class Explorer:
    """Clips, models and what they say about each other, with what was computed last kept in memory.

    Args:
        source: Folder of videos and of folders of images, or a single clip.
        models: Models to load at once.
        dinov2: File of ``tools/model_converters/get_dinov2.py``.
        device: Device of the models; by default the GPU or another accelerator, if available.
        cache_mebibytes: Largest size of the features that are kept.

    Attributes:
        costs: Record of the measured steps.
        sources: Models by name, loaded or not.

    Raises:
        FileNotFoundError: If there is no such folder, clip, config or checkpoint.
        ValueError: If the folder has no clips, or a model does not fit.
        VideoReadError: If a single clip cannot be read.
    """

    def __init__(
        self,
        source: str | PathLike,
        models: Sequence[ModelSource] = (),
        dinov2: str | PathLike = 'dinov2_vits14.safetensors',
        device: str | torch.device | None = None,
        cache_mebibytes: float = 1024,
    ) -> None:
        self.device = device
        self.costs = Costs()
        self._clips = find_clips(Path(source))
        self._features = Cache(cache_mebibytes * MEBIBYTE)
        self._frames = Cache(256 * MEBIBYTE)
        self._readers, self._pairs, self._tracks = Cache(8), Cache(8), Cache(16)
        self._propagations: list[tuple[tuple, CorrectedPropagation]] = []
        self._models: dict[str, LoadedModel] = {}
        self.sources = small_models(dinov2)
        self.chosen = [self.add_model(model) for model in models]

    # Clips

    @property
    def clips(self) -> list[str]:
        """Names of the clips."""
        return list(self._clips)

    def add_clip(self, path: str | PathLike) -> str:
        """Add a clip, such as an uploaded file, after a look at its first frame. Returns its name.

        Raises:
            ValueError: If it is no video that can be read.
        """
        path = Path(path)
        if path.suffix.lower() not in VIDEO_SUFFIXES:
            raise ValueError(f'{path.name} is no video: upload a file that ends in {" ".join(sorted(VIDEO_SUFFIXES))}')
        try:
            open_clip(path).get_batch([0])
        except VideoReadError as error:
            reason = error.reason.splitlines()[0]
            raise ValueError(f'{path.name} cannot be read ({reason}): upload another video') from error
        name = f'uploaded/{path.name}'
        number = 2
        while name in self._clips and self._clips[name] != path:
            name, number = f'uploaded/{path.stem}_{number}{path.suffix}', number + 1
        self._clips[name] = path
        return name

    def path(self, clip: str) -> Path:
        """Path of a clip.

        Raises:
            ValueError: If there is no clip of this name.
        """
        if clip not in self._clips:
            raise ValueError(f'there is no clip {clip!r}: choose one from the list, or upload it')
        return self._clips[clip]

    def length(self, clip: str) -> int:
        """Number of frames of a clip."""
        return len(self._reader(clip))

    def frame(self, clip: str, number: int) -> np.ndarray:
        """Frame ``(H, W, 3)``, uint8 RGB.

        Raises:
            ValueError: If the clip does not have it.
        """
        if not 0 <= number < self.length(clip):
            raise ValueError(f'{clip} has frames 0 to {self.length(clip) - 1}, not {number}')

        def read() -> np.ndarray:
            with self.costs.measure('read a frame'):
                return self._reader(clip).get_batch([number])[0]

        return self._frames.get((clip, number), read, lambda frame: frame.nbytes)

    def shown(self, clip: str, number: int, short_side: int) -> np.ndarray:
        """Frame for the page, whose short side is at most ``short_side``."""
        return shrink(self.frame(clip, number), short_side)

    def _reader(self, clip: str):
        path = self.path(clip)
        return self._readers.get(clip, lambda: open_clip(path))

    # Models

    def add_model(self, source: ModelSource) -> str:
        """Add and load a model. Returns its name."""
        with self.costs.measure('load the model', source.name):
            self._models[source.name] = LoadedModel(source, self.device)
        self.sources[source.name] = source
        return source.name

    def model(self, name: str) -> LoadedModel:
        """A model, which is loaded when it is needed first.

        Raises:
            ValueError: If there is no model of this name, or it does not fit.
            FileNotFoundError: If its file is not there.
        """
        if name not in self.sources:
            raise ValueError(f'there is no model {name!r}: start the explorer with it, or choose another one')
        if name not in self._models:
            self.add_model(self.sources[name])
        return self._models[name]

    # Views

    def features(self, name: str, clip: str, number: int, short_side: int) -> FrameFeatures:
        """Features of a frame, of all layers."""
        model = self.model(name)
        _ = model.encoder
        frame = self.frame(clip, number)

        def encode() -> FrameFeatures:
            with self.costs.measure('encode a frame, all layers', name):
                return model.features(frame, short_side)

        return self._features.get(('all', name, clip, number, short_side), encode, lambda features: features.size)

    def match(
        self,
        name: str,
        clip: str,
        numbers: tuple[int, int],
        point: tuple[float, float],
        short_side: int,
        layer: int = -1,
        head: int | None = None,
        best: int = 5,
    ) -> PointMatches:
        """Compare a point of frame A with all patches of frame B.

        Args:
            name: Name of the model.
            clip: Name of the clip.
            numbers: Frames A and B.
            point: Position (x, y) in pixels of frame A.
            short_side: Short side of the encoder's input.
            layer: Layer from 0, or negative from the end. Outputs of the layer are compared.
            head: Head from 0. Its attention keys in this layer are compared instead.
            best: Number of best matches.

        Raises:
            ValueError: If there is no such frame, point, layer or head.
        """
        height, width = self.frame(clip, numbers[0]).shape[:2]
        source, target = (self.features(name, clip, number, short_side) for number in numbers)
        with self.costs.measure('compare a point', name):
            place = (point[0] / width, point[1] / height)
            return match_point(source.choose(layer, head), target.choose(layer, head), place, best)

    def hidden_patches(
        self, name: str, clip: str, numbers: tuple[int, int], seed: int, mask_ratio: Sequence[float] | None = None
    ) -> HiddenPatches:
        """Hide patches of a pair and compute the attention of the decoder.

        Args:
            name: Name of the model.
            clip: Name of the clip.
            numbers: Past and future frame.
            seed: Seed of the mask.
            mask_ratio: Hidden share of each frame; as in training by default.

        Raises:
            ValueError: If the model has no trained decoder, or there is no such pair.
        """
        model = self.model(name).decoder
        self._check_pair(clip, numbers)

        def compute() -> HiddenPatches:
            source = ReconstructionInferencer(model, show_progress=False).preprocess(
                self.path(clip), 1, [numbers], seed=seed
            )
            (batch,) = source.items
            clips = torch.stack(list(batch['inputs']))
            with self.costs.measure('attention of the decoder', name), masking_ratio(model, mask_ratio):
                attention = decoder_attention(model, clips, [sample.seed for sample in batch['data_samples']])
            patch = model.backbone.patch_size
            grid = (clips.shape[-2] // patch, clips.shape[-1] // patch)
            return HiddenPatches(clips[0].permute(0, 2, 3, 1).numpy(), attention, grid)

        ratios = None if mask_ratio is None else tuple(mask_ratio)
        return self._pairs.get((name, clip, numbers, seed, ratios), compute)

    def reconstruct(
        self, name: str, clip: str, numbers: tuple[int, int], seed: int, mask_ratio: Sequence[float] | None = None
    ) -> DataSample:
        """Hide patches of a pair as :meth:`hidden_patches` does, and reconstruct them. Returns the data sample of
        :class:`ReconstructionInferencer`."""
        model = self.model(name).decoder
        self._check_pair(clip, numbers)
        inferencer = ReconstructionInferencer(model, show_progress=False)
        with self.costs.measure('reconstruct a pair', name):
            (sample,) = inferencer.stream(self.path(clip), pairs=[numbers], seed=seed, mask_ratio=mask_ratio)
        return sample

    def propagation(self, name: str, clip: str, regions: Sequence[Region], short_side: int) -> CorrectedPropagation:
        """The propagation of drawn regions. The results of the last ones are kept, also for other later regions.

        Raises:
            ValueError: If nothing is drawn, or in a frame that the clip does not have.
        """
        model = self.model(name)
        encoder = model.encoder
        for region in regions:
            size = self.frame(clip, region.frame).shape[:2]
        key = (name, clip, short_side)
        text = format_regions(regions)
        same = [old for place, old in self._propagations if place == key]
        if found := next((old for old in same if format_regions(old.regions) == text), None):
            return found
        if not regions:
            raise ValueError('nothing is drawn: draw over an object in frame A first')

        def feature(number: int) -> Tensor:
            frame = self.frame(clip, number)

            def encode() -> Tensor:
                with self.costs.measure('encode a frame', name):
                    return encoder.extract_feat(model.input_of(frame, short_side)[None])[0]

            return self._features.get(('last', *key, number), encode, lambda x: x.numel() * x.element_size())

        new = CorrectedPropagation(encoder, feature, model.patch_size, size, regions)
        best = max(same, key=lambda old: len([n for n in old.masks if n < new.agrees_until(old.regions)]), default=None)
        new = CorrectedPropagation(encoder, feature, model.patch_size, size, regions, best)
        self._propagations = [(key, new), *self._propagations][:8]
        return new

    def propagate(
        self, name: str, clip: str, regions: Sequence[Region], short_side: int, stop: int
    ) -> Iterator[tuple[int, np.ndarray]]:
        """Yield number and label map ``(H, W)`` of each frame that is not known yet, up to ``stop``."""
        found = self.propagation(name, clip, regions, short_side).run(min(stop, self.length(clip) - 1))
        yield from self._measured(found, 'propagate to a frame', name)

    def track(self, name: str, clip: str, box: Box, start: int, stop: int) -> Iterator[tuple[int, list[float], float]]:
        """Track a target. Yields frame number, box (x, y, w, h) and score of each frame.

        Args:
            name: Name of the model: a trained tracker, or an encoder, which tracks as ``FrozenTracker`` does.
            clip: Name of the clip.
            box: Box (x, y, w, h) in pixels of the first frame.
            start: First frame.
            stop: Last frame.

        Raises:
            ValueError: If the box does not lie in the frame.
        """
        check_box(box, self.frame(clip, start).shape[:2])
        inferencer = TrackingInferencer(self.model(name).tracker, show_progress=False)
        frames = (self.frame(clip, number) for number in range(start, min(stop, self.length(clip) - 1) + 1))
        samples = inferencer.stream(frames, box=box)
        for number, sample in enumerate(self._measured(samples, 'track in a frame', name), start):
            yield number, sample.pred_bbox, sample.pred_score

    def _measured(self, results: Iterator, step: str, name: str) -> Iterator:
        with closing(results):  # type: ignore[type-var]
            while True:
                with self.costs.measure(step, name):
                    result = next(results, None)
                if result is None:
                    return
                yield result

    def _check_pair(self, clip: str, numbers: tuple[int, int]) -> None:
        past, future = numbers
        self.frame(clip, future)
        if not past < future:
            raise ValueError(f'frame A ({past}) must come before frame B ({future}) in this view: move the sliders')


def find_clips(source: Path) -> dict[str, Path]:
    """Clips of a folder, or the clip that a path names, by name.

    Raises:
        FileNotFoundError: If there is no such file or folder.
        ValueError: If the folder has no clips, or the file is no video.
        VideoReadError: If the single clip cannot be read.
    """
    if not source.exists():
        raise FileNotFoundError(f'there is no file or folder {source}: give a video, or a folder of videos')
    if source.is_dir():
        folders = [name for name in scan(str(source), 'frames') if name != '.']
        names = [*scan(str(source), 'video'), *folders]
        if names:
            return {name: source / name for name in names}
        if not any(path.suffix.lower() in IMAGE_SUFFIXES for path in source.iterdir()):
            raise ValueError(f'{source} has no videos and no folders of images: give another folder')
    elif source.suffix.lower() not in VIDEO_SUFFIXES:
        raise ValueError(f'{source} is no video: give a file that ends in {" ".join(sorted(VIDEO_SUFFIXES))}')
    open_clip(source).get_batch([0])
    return {source.resolve().name: source}


def shrink(image: np.ndarray, short_side: int) -> np.ndarray:
    """Reduce an image ``(H, W, 3)`` to a short side of at most ``short_side``."""
    scale = short_side / min(image.shape[:2])
    if scale >= 1:
        return image
    size = [max(1, round(side * scale)) for side in image.shape[1::-1]]
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)
