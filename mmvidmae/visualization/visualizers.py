"""Registered visualizers. They draw data samples and give the images to all visualization backends of MMEngine."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np
from mmengine.dist import master_only
from mmengine.structures import BaseDataElement
from mmengine.visualization import MLflowVisBackend, Visualizer
from torch import Tensor

from mmvidmae.datasets.readers import read_image
from mmvidmae.registry import VISUALIZERS

from .features import draw_features
from .labels import contact_sheet, draw_box, draw_masks, draw_pose
from .reconstruction import draw_reconstructions

Self = TypeVar('Self', bound='ImageVisualizer')


class ImageVisualizer(Visualizer):
    """Base of our visualizers.

    ``add_datasample`` draws a data sample, gives the image to all backends, and returns it. The arguments are those
    of MMEngine's ``Visualizer``.
    """

    @classmethod
    def sharing_backends(cls: type[Self], visualizer: Visualizer) -> Self:
        """Return ``visualizer`` if it is of this class, or else a new one that writes to the same backends.

        Hooks use it, so they work with the visualizer of any config.
        """
        if isinstance(visualizer, cls):
            return visualizer
        new = cls()
        new._vis_backends = visualizer._vis_backends
        return new

    @master_only
    def add_image(self, name: str, image: np.ndarray, step: int = 0) -> None:
        """Give an image to all backends."""
        for backend in self._vis_backends.values():
            # MMEngine's MLflow backend takes the name for a file name: it needs a suffix, and one file for each step
            file_name = f'{name}_{step}.png' if isinstance(backend, MLflowVisBackend) else name
            backend.add_image(file_name, image, step)


@VISUALIZERS.register_module()
class ReconstructionVisualizer(ImageVisualizer):
    """Draws reconstructed pairs, see :func:`draw_reconstructions`."""

    def add_datasample(self, name: str, data_sample: Sequence[BaseDataElement], step: int = 0) -> np.ndarray:
        """Draw pairs below each other.

        Args:
            name: Name of the image.
            data_sample: At least one sample of ``PairMAE.predict``. All have one frame size.
            step: Training iteration.

        Returns:
            Image ``(height, width, 3)``, uint8 RGB.
        """
        drawn = draw_reconstructions(data_sample)
        self.add_image(name, drawn, step)
        return drawn


@VISUALIZERS.register_module()
class VideoVisualizer(ImageVisualizer):
    """Draws the predictions for a frame of a video: a label map, joints or a box."""

    def add_datasample(self, name: str, image: np.ndarray, data_sample: BaseDataElement, step: int = 0) -> np.ndarray:
        """Draw the fields of a sample over a frame.

        Args:
            name: Name of the image.
            image: Frame ``(H, W, 3)``, uint8 RGB.
            data_sample: Sample with any of the fields ``pred_mask`` (label map ``(h, w)``, uint8), ``pred_joints``
                (``(J, 2)``, x and y in pixels), and ``pred_bbox`` (x, y, w, h in pixels) with ``pred_score``, or lists
                of both for several targets.
            step: Frame number or training iteration.

        Returns:
            Image ``(H, W, 3)``, uint8 RGB.
        """
        drawn = self.draw(image, data_sample)
        self.add_image(name, drawn, step)
        return drawn

    def draw(self, image: np.ndarray, data_sample: BaseDataElement) -> np.ndarray:
        """Draw as :meth:`add_datasample`, without the backends."""
        if 'pred_mask' in data_sample:
            image = draw_masks(image, data_sample.pred_mask)
        if 'pred_joints' in data_sample:
            image = draw_pose(image, data_sample.pred_joints)
        if 'pred_bbox' in data_sample:
            several = isinstance(data_sample.pred_score, list)
            boxes = data_sample.pred_bbox if several else [data_sample.pred_bbox]
            scores = data_sample.pred_score if several else [data_sample.pred_score]
            for number, (box, score) in enumerate(zip(boxes, scores, strict=True), 2):
                image = draw_box(image, box, f'{data_sample.frame_id}  {score:.2f}', number)
        return image


@VISUALIZERS.register_module()
class PropagationVisualizer(VideoVisualizer):
    """Draws the propagated masks or joints of a whole video as a contact sheet."""

    def add_datasample(  # type: ignore[override]
        self, name: str, data_sample: BaseDataElement, num_frames: int = 8, side: int = 320, step: int = 0
    ) -> np.ndarray:
        """Draw frames at equal distances from the first to the last.

        Args:
            name: Name of the image.
            data_sample: Sample of a frozen evaluation, with ``frame_paths``, ``frame_names``, and ``pred_masks`` or
                ``pred_joints``.
            num_frames: Number of frames on the sheet.
            side: Longest side of a frame on the sheet, in pixels.
            step: Training iteration.

        Returns:
            Image ``(height, width, 3)``, uint8 RGB.
        """
        last = len(data_sample.frame_names) - 1
        chosen = sorted({round(last * i / max(1, num_frames - 1)) for i in range(num_frames)})
        images = [_shrink(image, side) for image in self.draw_frames(data_sample, chosen)]
        sheet = contact_sheet(images, [data_sample.frame_names[frame] for frame in chosen])
        self.add_image(name, sheet, step)
        return sheet

    def draw_frames(self, data_sample: BaseDataElement, frames: Sequence[int]) -> Iterator[np.ndarray]:
        """Draw the predictions of some frames of a video. Frames are read one by one."""
        for frame in frames:
            path = Path(data_sample.frame_paths[frame])
            fields = {
                field: data_sample.get(source)[frame]
                for field, source in (('pred_mask', 'pred_masks'), ('pred_joints', 'pred_joints'))
                if source in data_sample
            }
            yield self.draw(read_image(str(path.parent), path.name), BaseDataElement(**fields))


@VISUALIZERS.register_module()
class FeatureVisualizer(ImageVisualizer):
    """Draws features of a frame beside it, see :func:`draw_features`."""

    def add_datasample(
        self, name: str, image: np.ndarray, data_sample: BaseDataElement, components: Tensor, step: int = 0
    ) -> np.ndarray:
        """Draw the feature map of a frame.

        Args:
            name: Name of the image.
            image: Frame ``(H, W, 3)``, uint8 RGB.
            data_sample: Sample with the field ``feature_map``, ``(D, h, w)``.
            components: Principal components of :func:`principal_components`, which are the colors.
            step: Frame number.

        Returns:
            Image ``(H, 2 * W, 3)``, uint8 RGB: the frame and its features.
        """
        features = draw_features(data_sample.feature_map, components)
        features = cv2.resize(features, image.shape[1::-1], interpolation=cv2.INTER_NEAREST)
        drawn = np.concatenate((image, features), axis=1)
        self.add_image(name, drawn, step)
        return drawn


def _shrink(image: np.ndarray, side: int) -> np.ndarray:
    scale = side / max(image.shape[:2])
    return cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA) if scale < 1 else image
