"""Propagation of drawn regions, which can be corrected on the way."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mmvidmae.models.propagation import FeaturePropagation, LabelPropagator, MaskLabels

from .prompts import NUM_OBJECTS, Region


class CorrectedPropagation:
    """Label maps that follow from drawn regions. A region in a later frame replaces the mask of its object there.

    What is computed stays, so :meth:`run` goes on where it was stopped.

    Args:
        model: The frozen encoder.
        feature: Function that returns the unit-length features ``(C, h, w)`` of a frame by its number.
        patch_size: Pixels of the input for each cell of the features.
        size: Size ``(H, W)`` of the frames and label maps.
        regions: Drawn regions, sorted by frame.
        before: Propagation from other regions, whose results before the first difference are taken over.

    Attributes:
        start: Number of the first frame with a region.
        masks: Label map ``(H, W)`` uint8 of each frame, by its number.

    Raises:
        ValueError: If there is no region.
    """

    def __init__(
        self,
        model: LabelPropagator,
        feature: Callable[[int], Tensor],
        patch_size: int,
        size: tuple[int, int],
        regions: Sequence[Region],
        before: 'CorrectedPropagation | None' = None,
    ) -> None:
        if not regions:
            raise ValueError('nothing is drawn: draw over an object in frame A first')
        self.protocol, self.feature, self.patch_size, self.size = model.protocol, feature, patch_size, size
        self.regions = tuple(regions)
        self.start = regions[0].frame
        valid = 0 if before is None else self.agrees_until(before.regions)
        self._soft: dict[int, Any] = {}
        self.masks: dict[int, np.ndarray] = {}
        if before is not None:
            self._soft = {n: soft for n, soft in before._soft.items() if n < valid}
            self.masks = {n: before.masks[n] for n in self._soft}

    def agrees_until(self, regions: Sequence[Region]) -> int:
        """First frame whose result may differ from that of other regions. Larger than any frame if there is none."""
        different = set(self.regions) ^ set(regions)
        return min((region.frame for region in different), default=2**62)

    @torch.no_grad()
    def run(self, stop: int) -> Iterator[tuple[int, np.ndarray]]:
        """Yield number and label map of each frame from the first that is not known yet to ``stop``.

        Raises:
            ValueError: If a region lies outside the frame.
        """
        given = sorted({region.frame for region in self.regions})
        known = [*self.masks]
        propagation = FeaturePropagation(self.protocol)
        queue = [frame for frame in known if frame not in given][-self.protocol.queue :]
        for frame in known:
            if frame in given:
                feature = self.feature(frame)
                propagation.step(feature, self._labels(frame, feature), whole=True)
            elif frame in queue:
                propagation.recall(self.feature(frame), self._soft[frame])
        for frame in range(self.start + len(known), stop + 1):
            feature = self.feature(frame)
            if frame in given:
                ids = np.zeros(self.size, np.uint8)
                if frame > self.start:
                    ids = self._decode(frame, propagation.predict(feature), feature)
                self.masks[frame] = self._draw(frame, ids)
                self._soft[frame] = propagation.step(feature, self._labels(frame, feature), whole=True)
            else:
                self._soft[frame] = propagation.step(feature)
                self.masks[frame] = self._decode(frame, self._soft[frame], feature)
            yield frame, self.masks[frame]

    def _draw(self, frame: int, ids: np.ndarray) -> np.ndarray:
        """Replace the masks of the objects that are drawn in a frame."""
        regions = [region for region in self.regions if region.frame == frame]
        ids = np.where(np.isin(ids, [region.object for region in regions]), 0, ids).astype(np.uint8)
        for region in regions:
            ids[region.mask(self.size)] = region.object
        return ids

    def _labels(self, frame: int, feature: Tensor) -> Tensor:
        """Labels ``(K, h, w)`` of a frame whose label map is known."""
        grid = (feature.shape[1], feature.shape[2])
        labels = self._map_labels(frame, feature).given(frame, grid, feature.device)
        assert labels is not None
        return labels

    def _decode(self, frame: int, soft: Tensor, feature: Tensor) -> np.ndarray:
        """Label map of a frame that has none yet."""
        return self._map_labels(self.start, feature).decode(frame, soft).cpu().numpy()

    def _map_labels(self, frame: int, feature: Tensor) -> MaskLabels:
        input_size = (feature.shape[1] * self.patch_size, feature.shape[2] * self.patch_size)
        given = {frame: self.masks[frame]}
        return MaskLabels(given, input_size, self.size, self.protocol, ids=range(NUM_OBJECTS + 1))
