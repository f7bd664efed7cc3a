"""Reconstruction of the hidden patches of a video."""

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from os import PathLike, fspath
from pathlib import Path
from typing import Any

import numpy as np
from mmpretrain.structures import DataSample

from mmvidmae.datasets.sources import IMAGE_SUFFIXES, VIDEO_SUFFIXES
from mmvidmae.models import PairMAE
from mmvidmae.models.masking import AsymmetricMasking
from mmvidmae.utils.files import atomic_write
from mmvidmae.visualization import ReconstructionVisualizer

from .base import VideoInferencer
from .pairs import PairBatches, Pairs, open_clip
from .videos import DEFAULT_FPS, Source, stem_of


@contextmanager
def masking_ratio(model: PairMAE, mask_ratio: Sequence[float] | None) -> Iterator[None]:
    """Within the block, mask each frame of a clip with a ratio of its own; with None, as in training.

    Raises:
        ValueError: If there is not one share in [0, 1) for each frame of a clip.
    """
    if mask_ratio is None:
        yield
        return
    if len(mask_ratio) != model.num_frames:
        raise ValueError(f'mask_ratio: expected a share for each of {model.num_frames} frames, got {mask_ratio}')
    masking, model.masking = model.masking, AsymmetricMasking(tuple(mask_ratio))
    try:
        yield
    finally:
        model.masking = masking


class ReconstructionInferencer(VideoInferencer):
    """Masks frame pairs of a video and reconstructs them. See :class:`VideoInferencer` for the arguments of the
    constructor.

    Frames are resized and center-cropped to the model's image size. The seed alone determines pairs and masks. They do
    not depend on batch size or device.

    Example:
        >>> reconstruct = ReconstructionInferencer('CONFIG.py', 'CHECKPOINT.pth')
        >>> reconstruct('video.mp4', pairs=4, out_dir='results')['predictions']['errors']
        >>> reconstruct('video.mp4', pairs=None, gap=(8, 8), vis_format='.mp4', out_dir='results')
    """

    model_type = PairMAE
    visualizer_type = ReconstructionVisualizer
    formats = VIDEO_SUFFIXES | IMAGE_SUFFIXES
    preprocess_kwargs = {'pairs', 'gap', 'seed'}
    forward_kwargs = {'mask_ratio'}

    def __call__(  # type: ignore[override]
        self,
        inputs: str | PathLike,
        pairs: Pairs | None = 4,
        gap: tuple[int, int] = (4, 48),
        seed: int = 0,
        return_datasamples: bool = False,
        batch_size: int = 8,
        out_dir: str | PathLike | None = None,
        save_pred: bool = True,
        save_vis: bool = True,
        vis_format: str = '.png',
        fps: float | None = None,
        mask_ratio: Sequence[float] | None = None,
    ) -> dict[str, Any]:
        """Reconstruct pairs of a video.

        Args:
            inputs: Video file or folder of images.
            pairs: Number of random pairs, or the frame numbers (past, future) of each pair. None pairs each frame with
                the one ``gap[0]`` frames later.
            gap: Smallest and largest gap of a random pair, in frames.
            seed: Seed of the random pairs and of the masks.
            return_datasamples: Whether to return a data sample for each pair.
            batch_size: Number of pairs that are reconstructed at a time.
            out_dir: Folder for output files. By default nothing is written.
            save_pred: Whether to write ``<out_dir>/preds/<name>.json`` with the errors.
            save_vis: Whether to draw the pairs, see :func:`draw_reconstructions`.
            vis_format: Suffix of an image, ``<out_dir>/vis/<name>.png``, with all pairs below each other, or of a video
                with a frame for each pair.
            fps: Frames per second of this video; by default 25.
            mask_ratio: Share of hidden patches of the past and of the future frame, in [0, 1). By default, patches are
                masked as in training.

        Returns:
            ``predictions``: a dictionary of ``video``, ``frame_ids`` ((past, future) of each pair), ``errors``, and
            ``constant_errors`` (of predicting each patch's mean), or data samples on the CPU with the fields of
            ``PairMAE.predict``. ``visualization``: path of the image or video, or None.

        Raises:
            VideoReadError: If the video cannot be read.
            ValueError: If the video does not have these frames, or the image or video cannot be written.
        """
        outputs = (out_dir, save_pred, save_vis, vis_format, fps)
        given: dict[str, Any] = dict(pairs=pairs, gap=gap, seed=seed, mask_ratio=mask_ratio)
        return super().__call__(inputs, return_datasamples, batch_size, *outputs, **given)

    def preprocess(
        self,
        inputs: str | PathLike,
        batch_size: int = 8,
        pairs: Pairs | None = 4,
        gap: tuple[int, int] = (4, 48),
        seed: int = 0,
    ) -> Source:
        """Open a video. Items are batches of pairs."""
        video, reader = Path(inputs), open_clip(fspath(inputs))
        if pairs is None:
            if len(reader) <= gap[0]:
                raise ValueError(f'gap: no two frames are {gap[0]} apart in the {len(reader)} frames of {video}')
            pairs = [(past, past + gap[0]) for past in range(len(reader) - gap[0])]
        backbone = self.model.backbone
        size = tuple(side * backbone.patch_size for side in backbone.patch_resolution)
        batches = PairBatches(video, reader, pairs, gap, size, batch_size, seed)
        number = pairs if isinstance(pairs, int) else len(pairs)
        return Source(video.name, number, DEFAULT_FPS, batches, stem=stem_of(video))

    def forward(self, inputs: Iterable[dict], mask_ratio: Sequence[float] | None = None) -> Iterator[DataSample]:
        """Reconstruct batches of pairs. Yields a sample for each pair."""
        for batch in inputs:
            with masking_ratio(self.model, mask_ratio):
                samples = self.model.test_step(batch)
            for sample in samples:
                yield sample.cpu()

    def postprocess(
        self, preds: Iterable[DataSample], source: Source, path: Path | None, results: dict[str, Any]
    ) -> Iterator[DataSample]:
        """Save errors."""
        summary: dict[str, Any] = dict(video=source.name, frame_ids=[], errors=[], constant_errors=[])
        results['predictions'] = summary
        for pred in preds:
            summary['frame_ids'].append(tuple(map(int, pred.frame_ids)))
            summary['errors'].append(float(pred.error))
            summary['constant_errors'].append(float(pred.constant_error))
            yield pred
        if path is not None and summary['errors']:
            with atomic_write(f'{path}.json') as part:
                part.write_text(json.dumps(summary))

    def visualize(self, preds: Iterable[DataSample], vis_format: str = '.png') -> Iterator[np.ndarray]:
        """Draw all pairs in one image, or, for a video, one image for each pair."""
        for group in ([pred] for pred in preds) if vis_format.lower() in VIDEO_SUFFIXES else [list(preds)]:
            if group:
                yield self.visualizer.add_datasample('reconstruction', group)
