"""Scores of single-object tracking: success, precision, normalized precision, average overlap.

Boxes are ``(T, 4)`` (x, y, w, h) in pixels. The published protocols share overlaps, center errors and curves, and
differ in which frames count and in what a frame without a target is worth; each has a function of its own here:

- :func:`pytracking_errors`: PyTracking, which DropTrack and OSTrack report for LaSOT, TNL2K, OTB, NFS, UAV123;
- :func:`toolkit_ope`: the OTB and LaSOT experiments of the GOT-10k toolkit;
- :func:`got10k_overlaps`: AO and SR of GOT-10k;
- :func:`pysot_ope`: pysot.
"""

from typing import NamedTuple

import numpy as np

OVERLAPS = np.linspace(0, 1, 21)
"""Thresholds of success curves."""
PIXELS = np.arange(51)
"""Thresholds of precision curves, in pixels."""
PRECISION_AT = 20
"""The pixels, and the per cent of the target's size, at which a precision is read."""


class FrameErrors(NamedTuple):
    """How far the predictions of a video are off, ``(T,)`` each.

    Attributes:
        overlap: IoU; -1 where invalid.
        center: Distance of the centers in pixels; infinite where invalid.
        norm_center: In units of the target's width and height; see :func:`pytracking_errors` for invalid frames.
        valid: Whether there is a target in the frame.
    """

    overlap: np.ndarray
    center: np.ndarray
    norm_center: np.ndarray
    valid: np.ndarray


class Curves(NamedTuple):
    """Shares of frames, 0 to 1, of one video or averaged over videos.

    Attributes:
        success: ``(21,)``, with an overlap above each of :data:`OVERLAPS`.
        precision: ``(51,)``, with centers at most :data:`PIXELS` apart.
        norm_precision: ``(51,)``, with normalized distances of at most thresholds that the protocol sets.
    """

    success: np.ndarray
    precision: np.ndarray
    norm_precision: np.ndarray

    @classmethod
    def mean(cls, videos: list['Curves']) -> 'Curves':
        """The average of videos, each with the same weight."""
        return cls(*(np.mean(curves, axis=0) for curves in zip(*videos, strict=True)))

    @property
    def auc(self) -> float:
        """Area under the success curve; 20/21 for perfect boxes, as an overlap must exceed its threshold."""
        return float(self.success.mean())

    @property
    def precision20(self) -> float:
        """Precision at 20 pixels."""
        return float(self.precision[PRECISION_AT])

    @property
    def norm_precision20(self) -> float:
        """Normalized precision at the threshold 20, 0.2 for PyTracking."""
        return float(self.norm_precision[PRECISION_AT])

    def success_at(self, overlap: float) -> float:
        """Share of frames with an overlap above 0.5, 0.75 or another of the thresholds."""
        return float(self.success[np.abs(OVERLAPS - overlap).argmin()])


def overlaps(pred: np.ndarray, gt: np.ndarray, eps: float = 0.0) -> np.ndarray:
    """IoU ``(T,)`` of boxes; 0 where a box is empty.

    Args:
        pred: ``(T, 4)``.
        gt: ``(T, 4)``.
        eps: Added to the union.
    """
    corner = np.minimum(pred[:, :2] + pred[:, 2:], gt[:, :2] + gt[:, 2:])
    inter = (corner - np.maximum(pred[:, :2], gt[:, :2])).clip(0).prod(1)
    union = pred[:, 2:].prod(1) + gt[:, 2:].prod(1) - inter + eps
    return np.divide(inter, union, out=np.zeros_like(inter), where=union > 0)


def center_errors(pred: np.ndarray, gt: np.ndarray, scale: np.ndarray | float = 1.0) -> np.ndarray:
    """Distance ``(T,)`` of centers, which are at x + (w - 1) / 2, in units of ``scale`` (``(T, 2)`` or a number)."""
    centers = [box[:, :2] + (box[:, 2:] - 1) / 2 for box in (pred, gt)]
    with np.errstate(divide='ignore', invalid='ignore'):
        return np.sqrt((((centers[0] - centers[1]) / scale) ** 2).sum(1))


def curves(overlap: np.ndarray, center: np.ndarray, norm_center: np.ndarray, norm: np.ndarray, frames: int) -> Curves:
    """Shares of ``frames`` frames above and below the thresholds; ``norm`` are those of the normalized distance."""
    return Curves(
        (overlap[:, None] > OVERLAPS).sum(0) / frames,
        (center[:, None] <= PIXELS).sum(0) / frames,
        (norm_center[:, None] <= norm).sum(0) / frames,
    )


def pytracking_errors(pred: np.ndarray, gt: np.ndarray, visible: np.ndarray | None = None) -> FrameErrors:
    """PyTracking's errors of a video.

    The first prediction is replaced by the ground truth, an empty one by the one before. A frame is valid if the true
    box is not empty and the target is visible. Invalid frames have overlap -1 and count as failures of success and
    precision; of normalized precision they count as successes (error -1), as published, except where the target is said
    to be invisible.

    Args:
        pred: ``(T, 4)``, finite, of no negative size.
        gt: ``(T, 4)``; NaN marks a frame without ground truth.
        visible: ``(T,)`` bool, as LaSOT gives it; None for data without.

    Raises:
        ValueError: If predictions are not finite or of negative size, or their number is not that of the frames.

    Source: ``calc_seq_err_robust`` of PyTracking.
    """
    pred, gt = _checked(pred, gt)
    unknown = np.isnan(gt).any(1)
    gt = np.where(unknown[:, None], 0, gt)
    pred[0] = gt[0] if not unknown[0] else pred[0]
    for frame in np.flatnonzero((pred[:, 2:] == 0).any(1)):
        if frame and not unknown[frame]:
            pred[frame] = pred[frame - 1]
    seen = np.ones(len(gt), bool) if visible is None else np.asarray(visible, bool)
    valid = (gt[:, 2:] > 0).all(1) & seen
    return FrameErrors(
        np.where(valid, overlaps(pred, gt), -1),
        np.where(valid, center_errors(pred, gt), np.inf),
        np.where(valid, center_errors(pred, gt, gt[:, 2:]), np.where(seen, -1, np.inf)),
        valid,
    )


def pytracking_curves(errors: FrameErrors, exclude_invalid: bool = False) -> Curves:
    """PyTracking's curves of a video: shares of all its frames, or of the valid ones.

    Raises:
        ValueError: If no frame counts.
    """
    frames = int(errors.valid.sum()) if exclude_invalid else len(errors.valid)
    if not frames:
        raise ValueError('no frame has a visible target')
    return curves(errors.overlap, errors.center, errors.norm_center, PIXELS / 100, frames)


def toolkit_ope(pred: np.ndarray, gt: np.ndarray) -> Curves:
    """Curves of a video by the GOT-10k toolkit's OTB and LaSOT experiments.

    The first prediction is replaced by the ground truth; frames whose ground truth is NaN are left out. Normalized
    precision has 51 thresholds up to 0.5, and its score is the mean of the curve.

    Raises:
        ValueError: If predictions are not finite or of negative size, or no frame has ground truth.
    """
    pred, gt = _checked(pred, gt)
    pred[0] = gt[0]
    known = ~np.isnan(gt).any(1)
    if not known.any():
        raise ValueError('no frame has ground truth')
    pred, gt = pred[known], gt[known]
    norm = center_errors(pred, gt, gt[:, 2:].clip(1))
    return curves(toolkit_overlaps(pred, gt), center_errors(pred, gt), norm, np.linspace(0, 0.5, 51), len(gt))


def toolkit_overlaps(pred: np.ndarray, gt: np.ndarray, image_size: np.ndarray | None = None) -> np.ndarray:
    """IoU ``(T,)`` as the GOT-10k toolkit computes it.

    Boxes are clipped to the image if ``image_size`` is given: (width, height) of all frames, or ``(T, 2)``, a row a
    frame. A box that begins outside is moved inside without getting shorter.
    """
    if image_size is not None:
        pred, gt = (_clip(box, image_size) for box in (pred, gt))
    return overlaps(pred, gt, np.finfo(float).eps).clip(0, 1)


def got10k_overlaps(pred: np.ndarray, gt: np.ndarray, visible: np.ndarray, image_size: np.ndarray) -> np.ndarray:
    """The overlaps of a video that count for GOT-10k: of all frames but the first in which the target is visible.

    Their mean over all frames of all videos is AO; the shares above 0.5 and 0.75 are the success rates.

    Args:
        pred: ``(T, 4)``.
        gt: ``(T, 4)``.
        visible: ``(T,)``, GOT-10k's cover above 0.
        image_size: (width, height) in pixels of all frames, or ``(T, 2)``, a row a frame.

    Raises:
        ValueError: If predictions are not finite or of negative size.

    Source: ``ExperimentGOT10k.report`` of the GOT-10k toolkit, subset val.
    """
    pred, gt = _checked(pred, gt)
    return toolkit_overlaps(pred, gt, image_size)[1:][np.asarray(visible, bool)[1:]]


def pysot_ope(pred: np.ndarray, gt: np.ndarray, visible: np.ndarray | None = None) -> Curves:
    """Curves of a video by pysot's OPE benchmark.

    Frames without a target, by ``visible``, are not counted but stay in the denominator. A true box without a positive
    width and height is a failure of success. A frame whose true center is not positive counts as precise.

    Source: ``success_overlap`` and ``success_error``, STVIR/pysot@c7fd71c:toolkit/utils/statistics.py.
    """
    pred, gt = _checked(pred, gt)
    counted = np.ones(len(gt), bool) if visible is None else np.asarray(visible, bool)
    pred, gt, frames = pred[counted], gt[counted], len(gt)
    true_center = gt[:, :2] + (gt[:, 2:] - 1) / 2
    overlap = np.where((gt[:, 2:] > 0).all(1), overlaps(pred, gt), -1)
    center, norm = center_errors(pred, gt), center_errors(pred, gt, gt[:, 2:] + 1e-16)
    center, norm = (np.where((true_center > 0).all(1), error, -1) for error in (center, norm))
    return curves(overlap, center, norm, PIXELS / 100, frames)


def _checked(pred: np.ndarray, gt: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    pred, gt = (np.array(boxes, dtype=np.float64) for boxes in (pred, gt))
    if pred.shape != gt.shape or pred.ndim != 2 or pred.shape[1] != 4 or not len(pred):
        raise ValueError(f'boxes must be (T, 4) for the same T >= 1 frames: predicted {pred.shape}, true {gt.shape}')
    wrong = np.flatnonzero(~np.isfinite(pred).all(1) | (pred[:, 2:] < 0).any(1))
    if len(wrong):
        raise ValueError(f'the predicted box of frame {wrong[0]} is not finite or of negative size: {pred[wrong[0]]}')
    return pred, gt


def _clip(boxes: np.ndarray, image_size: np.ndarray) -> np.ndarray:
    corner = boxes[:, :2].clip(0, image_size)
    return np.concatenate((corner, boxes[:, 2:].clip(0, np.asarray(image_size) - corner)), axis=1)
