"""Context frames of label propagation."""

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor

from .affinity import SMALL, top_affinities, transfer_labels
from .labels import Labels, Size, min_max
from .protocol import PropagationProtocol


class PropagationContext:
    """Features and labels of the context frames: frames with reference labels stay, the last frames form a queue.

    Frames before the reference mask of an object have no information on it. Votes for that object therefore come only
    from frames with its reference mask or after it.

    Args:
        protocol: Options of the propagation.
        feature: Unit-length features ``(A, B, C)`` of the first frame with reference labels.
        label: Labels ``(A * B, K)`` of that frame.
    """

    def __init__(self, protocol: PropagationProtocol, feature: Tensor, label: Tensor) -> None:
        self.protocol = protocol
        self._known = label.amax(0).sign()  # (K,): 1 for channels with a reference so far
        frame = (feature, label, self._known)
        # ring buffer, allocated once
        self._queue = tuple(x.new_empty(protocol.queue, *x.shape) for x in frame)
        self._filled, self._oldest = 0, 0
        if protocol.pad_queue:
            self._filled = protocol.queue
            for slots, x in zip(self._queue, frame):
                slots[:] = x
        if protocol.output_norm == 'pixel':  # only in the frame's own slot, as in CRW, which rescales in place
            label = min_max(label, dim=1)
        self._given = (feature[None], label[None], self._known[None])

    def features(self) -> list[Tensor]:
        """Features of the context in groups ``(., A, B, C)``: the reference frames, then the queue, oldest frame
        first."""
        return self._in_order(0)

    def nearest(self, feature: Tensor) -> tuple[Tensor, Tensor]:
        """Find the voting cells of a frame with features ``(A, B, C)``: similarities and cells, ``(A * B, k)`` each."""
        protocol = self.protocol
        num_free = 0 if protocol.window_given else 1
        return top_affinities(feature, self.features(), protocol.topk, protocol.radius, protocol.window, num_free)

    def propagate(self, feature: Tensor) -> Tensor:
        """Predict the labels ``(A * B, K)`` of a frame with features ``(A, B, C)``."""
        affinities, indices = self.nearest(feature)
        temperature = self.protocol.temperature
        label = transfer_labels(torch.cat(self._in_order(1)).flatten(0, 1), affinities, indices, temperature)
        if len(self._given[0]) > 1:
            # share of an object in the votes of frames that know it; the background gets the rest
            slots = indices // len(affinities)
            known = transfer_labels(torch.cat(self._in_order(2)), affinities, slots, temperature)
            objects = label[:, 1:] / known[:, 1:].clamp(min=1e-6)
            objects = objects / objects.sum(1, keepdim=True).clamp(min=1)
            label = torch.cat((1 - objects.sum(1, keepdim=True), objects), dim=1)
        return label

    def push(self, feature: Tensor, label: Tensor) -> None:
        """Add a frame to the queue. If the queue is full, the frame replaces the oldest one."""
        length = self.protocol.queue
        if length == 0:
            return
        slot = (self._oldest + self._filled) % length
        if self._filled < length:
            self._filled += 1
        else:
            self._oldest = (self._oldest + 1) % length
        for slots, x in zip(self._queue, (feature, label, self._known)):
            slots[slot] = x

    def give(self, feature: Tensor, label: Tensor) -> None:
        """Add a frame with reference labels, which stays in the context. ``label`` covers old and new objects."""
        self._known = torch.maximum(self._known, label.amax(0).sign())
        frame = (feature, label, self._known)
        self._given = tuple(torch.cat((old, x[None])) for old, x in zip(self._given, frame))

    def _in_order(self, which: int) -> list[Tensor]:
        queue, end = self._queue[which], self._oldest + self._filled
        length = self.protocol.queue
        return [self._given[which], queue[self._oldest : min(end, length)], queue[: max(0, end - length)]]


class FeaturePropagation:
    """Label propagation frame by frame, for labels that may change on the way.

    Args:
        protocol: Options of the propagation.
    """

    def __init__(self, protocol: PropagationProtocol) -> None:
        self.protocol = protocol
        self.context: PropagationContext | None = None

    def step(self, feature: Tensor, given: Tensor | None = None, whole: bool = False) -> Tensor | None:
        """Predict the labels of the next frame.

        Args:
            feature: Unit-length features ``(C, h, w)``.
            given: Reference labels ``(K, h, w)`` of this frame, if any. In a later frame than the first one with
                reference labels, they overwrite the prediction where an object is.
            whole: Whether reference labels are the labels of the whole frame, also in later frames.

        Returns:
            Soft labels ``(K, h, w)``, or None before the first frame with reference labels.
        """
        if self.context is None and given is None:
            return None
        turned = self._turned(feature)
        cells = _to_cells(feature, turned)
        label = None if given is None else _to_cells(given, turned).flatten(0, 1)
        if self.context is None:
            self.context = PropagationContext(self.protocol, cells, label)
        elif label is None:
            label = self.context.propagate(cells)
            self.context.push(cells, label)
        else:
            if not whole:  # new objects overwrite the prediction where they appear
                new = label[:, 1:]
                label = self.context.propagate(cells) * (1 - new.sum(1, keepdim=True))
                label[:, 1:] += new
            self.context.give(cells, label)
        return _to_grid(label, tuple(feature.shape[1:]), turned)

    def predict(self, feature: Tensor) -> Tensor:
        """Predict the labels ``(K, h, w)`` of the next frame, which stays out of the context."""
        turned = self._turned(feature)
        return _to_grid(self.context.propagate(_to_cells(feature, turned)), tuple(feature.shape[1:]), turned)

    def recall(self, feature: Tensor, soft: Tensor) -> None:
        """Take over a frame that :meth:`step` predicted before from the same reference labels."""
        turned = self._turned(feature)
        self.context.push(_to_cells(feature, turned), _to_cells(soft, turned).flatten(0, 1))

    def _turned(self, feature: Tensor) -> bool:
        """Whether a large grid gets its longer axis first, so that bands are narrow."""
        height, width = feature.shape[1:]
        return width > height and (1 + self.protocol.queue) * height * width > SMALL


def propagate_features(
    features: Iterable[Tensor], labels: Labels, protocol: PropagationProtocol
) -> Iterator[tuple[int, Tensor]]:
    """Propagate labels through a video.

    Args:
        features: Unit-length features ``(C, h, w)`` of each frame.
        labels: Reference labels of some frames.
        protocol: Options of the propagation.

    Yields:
        Number and soft labels ``(K, h, w)`` of each frame, from the first frame with reference labels on.
    """
    propagation = FeaturePropagation(protocol)
    for frame, feature in enumerate(features):
        soft = propagation.step(feature, labels.given(frame, tuple(feature.shape[1:]), feature.device))
        if soft is not None:
            yield frame, min_max(soft, dim=0) if protocol.output_norm == 'pixel' else soft


def _to_cells(x: Tensor, turned: bool) -> Tensor:
    """``(C, h, w)`` to ``(h, w, C)``, or ``(w, h, C)`` if ``turned``."""
    return (x.permute(2, 1, 0) if turned else x.permute(1, 2, 0)).contiguous()


def _to_grid(label: Tensor, grid: Size, turned: bool) -> Tensor:
    """``(cells, K)`` to ``(K, h, w)``."""
    return label.T.unflatten(1, grid[::-1]).mT if turned else label.T.unflatten(1, grid)
