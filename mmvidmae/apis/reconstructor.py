"""What a model makes of the hidden parts of a video."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from mmpretrain.structures import DataSample
from PIL import Image
from rich.console import Console
from rich.progress import track

from mmvidmae.datasets import ClipReader
from mmvidmae.datasets.sources import VIDEO_SUFFIXES
from mmvidmae.models import PairMAE
from mmvidmae.visualization import draw_reconstructions, write_video

from .pairs import PairBatches, Pairs, open_clip


class PairReconstructor:
    """Hides parts of pairs of frames of a video and reconstructs them, as data samples, a picture or a video.

    A video is a file or a folder of images. Its frames are resized and center-cropped to the size that the model was
    made for. Pairs and masks follow from the seed alone: neither batch size nor device changes them.

    Args:
        model: A pair model, as from :func:`get_model`; it is put into evaluation mode and runs where it is.
        batch_size: Pairs at a time.
        seed: Of the random pairs and of the masks.
        progress: Whether to show progress on stderr.
    """

    def __init__(self, model: PairMAE, batch_size: int = 8, seed: int = 0, progress: bool = True) -> None:
        self.model = model.eval()
        self.batch_size = batch_size
        self.seed = seed
        self.progress = progress

    def __call__(self, video: str | Path, pairs: Pairs = 4, gap: tuple[int, int] = (4, 48)) -> list[DataSample]:
        """Reconstruct pairs of a video.

        Args:
            video: Video file or folder of frames.
            pairs: How many random pairs, or the numbers (past, future) of their frames.
            gap: Smallest and largest number of frames between those of a random pair.

        Returns:
            A sample for each pair, on the CPU, with the fields of ``PairMAE.predict``.

        Raises:
            VideoReadError: If the video cannot be read.
            ValueError: If it does not have these frames.
        """
        return list(self._reconstruct(video, open_clip(video), pairs, gap))

    def write_picture(
        self, video: str | Path, path: str | Path, pairs: Pairs = 4, gap: tuple[int, int] = (4, 48)
    ) -> list[float]:
        """Draw the pairs of :meth:`__call__` below each other (see :func:`draw_reconstructions`).

        Args:
            path: The picture; its suffix chooses the format.

        Returns:
            The error of each pair.
        """
        samples = self(video, pairs, gap)
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(draw_reconstructions(samples)).save(path)
        return [float(sample.error) for sample in samples]

    def write_video(self, video: str | Path, path: str | Path, gap: int = 8, fps: float = 25) -> list[float]:
        """Draw each frame of a video as the past of a pair, one pair a frame, into a video of these drawings.

        Args:
            video: Video file or folder of frames.
            path: The video, which appears when it is whole; its suffix chooses the format.
            gap: Number of frames between those of a pair.
            fps: Pairs a second.

        Returns:
            The error of each pair.

        Raises:
            VideoReadError: If the video cannot be read.
            ValueError: If it has no frames this far apart, or ``path`` is not the name of a video.
        """
        path, reader = Path(path), open_clip(video)
        if path.suffix.lower() not in VIDEO_SUFFIXES:
            raise ValueError(f'{path}: not the name of a video, as {path.stem}.mp4 would be')
        if len(reader) <= gap:
            raise ValueError(f'gap: no two frames are {gap} apart in the {len(reader)} frames of {video}')
        pairs = [(past, past + gap) for past in range(len(reader) - gap)]

        errors = []

        def pictures() -> Iterator[np.ndarray]:
            for sample in self._reconstruct(video, reader, pairs):
                errors.append(float(sample.error))
                yield draw_reconstructions([sample])

        write_video(path, pictures(), fps)
        return errors

    def _reconstruct(
        self, video: str | Path, reader: ClipReader, pairs: Pairs, gap: tuple[int, int] = (0, 0)
    ) -> Iterator[DataSample]:
        backbone = self.model.backbone
        size = tuple(side * backbone.patch_size for side in backbone.patch_resolution)
        batches = PairBatches(video, reader, pairs, gap, size, self.batch_size, self.seed)
        console = Console(stderr=True)
        for batch in track(batches, Path(video).name, len(batches), console=console, disable=not self.progress):
            for sample in self.model.test_step(batch):
                yield sample.cpu()
