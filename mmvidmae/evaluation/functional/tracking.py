"""Scores of single-object tracking: success, precision, normalized precision, average overlap.

Boxes are ``(T, 4)`` (x, y, w, h) in pixels. The published protocols share overlaps, center errors and curves. They
differ in the frames that count and in the score of a frame without a target. Each protocol has its own function:

- :func:`pytracking_errors`: PyTracking, which DropTrack and OSTrack report for LaSOT, TNL2K, OTB, NFS and UAV123;
- :func:`toolkit_ope`: the OTB and LaSOT experiments of the GOT-10k toolkit;
- :func:`got10k_overlaps`: AO and SR of GOT-10k;
- :func:`pysot_ope`: pysot;
- :func:`lasher_curves`: PR, NPR and SR of LasHeR;
- :func:`rgbt234_curves`: MPR and MSR of RGBT234.
"""

from typing import NamedTuple

import numpy as np

OVERLAPS = np.linspace(0, 1, 21)
"""Thresholds of success curves."""
PIXELS = np.arange(51)
"""Thresholds of precision curves, in pixels."""
PRECISION_AT = 20
"""Threshold of precision in pixels, and of normalized precision in per cent of the target's size."""


class FrameErrors(NamedTuple):
    """Errors of the predictions of a video, ``(T,)`` each.

    Attributes:
        overlap: IoU; -1 in invalid frames.
        center: Distance of the centers in pixels; infinite in invalid frames.
        norm_center: Distance in units of the target's width and height. See :func:`pytracking_errors` for invalid
            frames.
        valid: Whether the frame has a target.
    """

    overlap: np.ndarray
    center: np.ndarray
    norm_center: np.ndarray
    valid: np.ndarray


class Curves(NamedTuple):
    """Curves of one video or averaged over videos. Values are shares of frames, 0 to 1.

    Attributes:
        success: Share of frames with an overlap above each threshold of :data:`OVERLAPS`, ``(21,)``.
        precision: Share of frames with center distances of at most :data:`PIXELS`, ``(51,)``.
        norm_precision: Share of frames with normalized distances of at most the protocol's thresholds, ``(51,)``. NaN
            if the protocol has no normalized distance.
    """

    success: np.ndarray
    precision: np.ndarray
    norm_precision: np.ndarray

    @classmethod
    def mean(cls, videos: list['Curves']) -> 'Curves':
        """Average the curves of videos with equal weights."""
        return cls(*(np.mean(curves, axis=0) for curves in zip(*videos, strict=True)))

    @property
    def auc(self) -> float:
        """Area under the success curve. It is 20/21 for perfect boxes, as an overlap must exceed its threshold."""
        return float(self.success.mean())

    @property
    def precision20(self) -> float:
        """Precision at 20 pixels."""
        return float(self.precision[PRECISION_AT])

    @property
    def norm_precision20(self) -> float:
        """Normalized precision at threshold number 20, which is 0.2 for PyTracking."""
        return float(self.norm_precision[PRECISION_AT])

    def success_at(self, overlap: float) -> float:
        """Share of frames with an overlap above one of the thresholds, such as 0.5 or 0.75."""
        return float(self.success[np.abs(OVERLAPS - overlap).argmin()])


def overlaps(pred: np.ndarray, gt: np.ndarray, eps: float = 0.0) -> np.ndarray:
    """IoU ``(T,)`` of boxes; 0 if a box is empty.

    Args:
        pred: Predicted boxes ``(T, 4)``.
        gt: True boxes ``(T, 4)``.
        eps: Value added to the union.
    """
    corner = np.minimum(pred[:, :2] + pred[:, 2:], gt[:, :2] + gt[:, 2:])
    inter = (corner - np.maximum(pred[:, :2], gt[:, :2])).clip(0).prod(1)
    union = pred[:, 2:].prod(1) + gt[:, 2:].prod(1) - inter + eps
    return np.divide(inter, union, out=np.zeros_like(inter), where=union > 0)


def center_errors(pred: np.ndarray, gt: np.ndarray, scale: np.ndarray | float = 1.0) -> np.ndarray:
    """Distance ``(T,)`` of box centers in units of ``scale``, ``(T, 2)`` or a number. Centers are at
    x + (w - 1) / 2."""
    centers = [box[:, :2] + (box[:, 2:] - 1) / 2 for box in (pred, gt)]
    with np.errstate(divide='ignore', invalid='ignore'):
        return np.sqrt((((centers[0] - centers[1]) / scale) ** 2).sum(1))


def curves(overlap: np.ndarray, center: np.ndarray, norm_center: np.ndarray, norm: np.ndarray, frames: int) -> Curves:
    """Compute the curves as shares of ``frames`` frames. ``norm`` holds the thresholds of the normalized distance."""
    return Curves(
        (overlap[:, None] > OVERLAPS).sum(0) / frames,
        (center[:, None] <= PIXELS).sum(0) / frames,
        (norm_center[:, None] <= norm).sum(0) / frames,
    )


def pytracking_errors(pred: np.ndarray, gt: np.ndarray, visible: np.ndarray | None = None) -> FrameErrors:
    """Compute PyTracking's errors of a video.

    The first prediction is replaced by the ground truth. An empty prediction is replaced by the previous one. A frame
    is valid if the true box is not empty and the target is visible. Invalid frames have overlap -1 and count as
    failures for success and precision. As published, they count as successes for normalized precision (error -1),
    unless the target is annotated as invisible.

    Args:
        pred: Predicted boxes ``(T, 4)``, finite and without negative sizes.
        gt: True boxes ``(T, 4)``. NaN marks a frame without ground truth.
        visible: Visibility ``(T,)`` bool, as in LaSOT; None for data without it.

    Raises:
        ValueError: If predictions are not finite or have negative sizes, or their number differs from that of frames.

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
    """Compute PyTracking's curves of a video: shares of all frames, or with ``exclude_invalid`` of the valid frames.

    Raises:
        ValueError: If no frame counts.
    """
    frames = int(errors.valid.sum()) if exclude_invalid else len(errors.valid)
    if not frames:
        raise ValueError('no frame has a visible target')
    return curves(errors.overlap, errors.center, errors.norm_center, PIXELS / 100, frames)


def toolkit_ope(pred: np.ndarray, gt: np.ndarray) -> Curves:
    """Compute the curves of a video as in the GOT-10k toolkit's OTB and LaSOT experiments.

    The first prediction is replaced by the ground truth. Frames with NaN as ground truth are excluded. Normalized
    precision has 51 thresholds up to 0.5, and its score is the mean of the curve.

    Raises:
        ValueError: If predictions are not finite or have negative sizes, or no frame has ground truth.
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
    """IoU ``(T,)`` as in the GOT-10k toolkit.

    If ``image_size`` is given, boxes are clipped to the image. ``image_size`` is (width, height) of all frames, or
    ``(T, 2)`` with one row per frame. A box that begins outside the image is moved inside without becoming shorter.
    """
    if image_size is not None:
        pred, gt = (_clip(box, image_size) for box in (pred, gt))
    return overlaps(pred, gt, np.finfo(float).eps).clip(0, 1)


def got10k_overlaps(pred: np.ndarray, gt: np.ndarray, visible: np.ndarray, image_size: np.ndarray) -> np.ndarray:
    """Overlaps of a video that count for GOT-10k: those of frames with a visible target, except the first frame.

    AO is their mean over all frames of all videos. The success rates SR are the shares above 0.5 and 0.75.

    Args:
        pred: Predicted boxes ``(T, 4)``.
        gt: True boxes ``(T, 4)``.
        visible: Visibility ``(T,)``: GOT-10k's cover above 0.
        image_size: (width, height) in pixels of all frames, or ``(T, 2)`` with one row per frame.

    Raises:
        ValueError: If predictions are not finite or have negative sizes.

    Source: ``ExperimentGOT10k.report`` of the GOT-10k toolkit, subset val.
    """
    pred, gt = _checked(pred, gt)
    return toolkit_overlaps(pred, gt, image_size)[1:][np.asarray(visible, bool)[1:]]


def pysot_ope(pred: np.ndarray, gt: np.ndarray, visible: np.ndarray | None = None) -> Curves:
    """Compute the curves of a video as in pysot's OPE benchmark.

    Frames without a target, according to ``visible``, are not counted but stay in the denominator. A true box without
    positive width and height counts as a failure for success. A frame with a true center that is not positive counts as
    precise.

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


def lasher_curves(pred: np.ndarray, gt: np.ndarray) -> Curves:
    """Compute the curves of a video as LasHeR's toolkit does: PR at 20 pixels, NPR at 0.2 and SR.

    All boxes are rounded to integers, half to even. Surplus predictions are cut off, the first prediction is replaced
    by the ground truth, and an empty prediction by the previous one. A frame is invalid if any number of its true box
    is at most 0, also for targets that touch the left or upper border. As published, invalid frames are correct for PR
    and NPR, wrong for SR, and stay in the denominator. All numbers are in single precision, which decides ties at
    thresholds.

    Args:
        pred: Predicted boxes ``(T', 4)``, finite, T' >= T.
        gt: True boxes ``(T, 4)``. NaN and zeros mark frames without a target.

    Raises:
        ValueError: If there are fewer predictions than true boxes, or predictions are not finite.

    Source: ``PR_LasHeR``, ``NPR`` and ``SR_LasHeR``, opacity-black/RGBT_toolkit@33da1eb:src/rgbt/metrics/metrics.py.
    """
    gt = np.nan_to_num(_rounded(gt))
    pred = _rounded(pred)[: len(gt)].copy()
    _check_rgbt(pred, gt)
    pred[0] = gt[0]
    for frame in np.flatnonzero((pred[1:, 2:] <= 0).any(1)) + 1:
        pred[frame] = pred[frame - 1]
    valid = (gt > 0).all(1)
    errors = (overlaps(pred, gt), center_errors(pred, gt), _norm_errors_of_centers(pred, gt))
    overlap, center, norm_center = (np.where(valid, error, np.float32(-1)) for error in errors)
    return curves(overlap, center, norm_center, np.linspace(0, 0.5, 51), len(gt))


def rgbt234_curves(pred: np.ndarray, visible: np.ndarray, thermal: np.ndarray) -> Curves:
    """Compute the curves of a video as RGBT234's toolkit does: MPR at 20 pixels and MSR.

    Each frame counts with the nearer and with the better overlapping of its two true boxes. Predictions are rounded to
    integers, half to even. Unlike in :func:`lasher_curves`, the first frame and empty predictions are scored as they
    are. There is no normalized precision (NaN).

    Args:
        pred: Predicted boxes ``(T, 4)``, finite.
        visible: True boxes ``(T, 4)`` in the visible frames.
        thermal: True boxes ``(T, 4)`` in the thermal frames.

    Raises:
        ValueError: If the numbers of boxes differ, or predictions are not finite.

    Source: ``MPR`` and ``MSR``, opacity-black/RGBT_toolkit@33da1eb:src/rgbt/metrics/metrics.py.
    """
    pred, truths = _rounded(pred), [np.asarray(boxes, np.float32) for boxes in (visible, thermal)]
    for gt in truths:
        _check_rgbt(pred, gt)
    overlap = np.maximum(*(overlaps(pred, gt) for gt in truths))
    center = np.minimum(*(center_errors(pred, gt) for gt in truths))
    result = curves(overlap, center, center, PIXELS, len(pred))
    return result._replace(norm_precision=np.full(len(PIXELS), np.nan))


def boxes_of_corners(corners: np.ndarray, inclusive: bool) -> np.ndarray:
    """Convert result files with four corners per frame, as some RGB-T trackers write them.

    Args:
        corners: Corners ``(T, 8)``, clockwise from the upper left one, in pixels. They are rounded to integers.
        inclusive: Whether the last column and row belong to the box, as LasHeR's toolkit assumes. RGBT234's does not.

    Returns:
        Boxes ``(T, 4)`` (x, y, w, h).
    """
    corners = _rounded(corners)
    return np.concatenate((corners[:, :2], corners[:, [2, 5]] - corners[:, :2] + int(inclusive)), axis=1)


def _rounded(boxes: np.ndarray) -> np.ndarray:
    return np.asarray(boxes, np.float32).round()


def _norm_errors_of_centers(pred: np.ndarray, gt: np.ndarray) -> np.ndarray:
    """Distance of centers that are divided by the target's size first; in single precision this differs."""
    with np.errstate(divide='ignore', invalid='ignore'):
        first, second = ((box[:, :2] + (box[:, 2:] - 1) / 2) / gt[:, 2:] for box in (pred, gt))
        return np.sqrt(((first - second) ** 2).sum(1))


def _check_rgbt(pred: np.ndarray, gt: np.ndarray) -> None:
    if pred.shape != gt.shape or pred.ndim != 2 or pred.shape[1] != 4 or not len(pred):
        raise ValueError(f'boxes must be (T, 4) for the same T >= 1 frames: predicted {pred.shape}, true {gt.shape}')
    wrong = np.flatnonzero(~np.isfinite(pred).all(1))
    if len(wrong):
        raise ValueError(f'the predicted box of frame {wrong[0]} is not finite: {pred[wrong[0]]}')


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
