"""Joints as label maps and back, and the share of correct keypoints (PCK) on JHMDB, as CRW defines them.

Points are ``(x, y)`` in the last axis. ``joint_positions.mat`` holds ``pos_img`` as ``(2, J, T)`` in 1-based pixels:
``pos_img.transpose(2, 1, 0) - 1`` gives the ``(T, J, 2)`` that these functions take.
"""

from collections.abc import Sequence

import numpy as np

from mmvidmae.structures.pose_maps import as_points


def pose_normalizer(gt: np.ndarray, visible: np.ndarray) -> np.ndarray:
    """Size of the person in each frame: 0.6 times the diagonal of the box around the visible joints.

    Args:
        gt: True joints ``(T, J, 2)`` in pixels.
        visible: Bool ``(T, J)``.

    Returns:
        Float64 ``(T,)`` in pixels; 0 with one visible joint, NaN with none.

    Source: CropMAE's eval_pck (siammae.md C.6).
    """
    visible = np.asarray(visible, dtype=bool)[..., None]
    low = np.where(visible, gt, np.inf).min(1)
    high = np.where(visible, gt, -np.inf).max(1)
    return np.where(visible[..., 0].any(1), 0.6 * np.linalg.norm(high - low, axis=-1), np.nan)


def joint_distances(pred: np.ndarray, gt: np.ndarray) -> np.ndarray:
    """Distances of predicted joints from the true ones in units of :func:`pose_normalizer`.

    Frame 0, which was given, is left out, and so are predictions beyond the last annotated frame. A joint predicted
    invisible (``x < 0``, whatever ``y``) is neither right nor wrong, and outside the box of its frame.

    Args:
        pred: Predicted joints ``(T', J, 2)`` in 0-based pixels.
        gt: True joints ``(T, J, 2)`` in 0-based pixels, ``T <= T'``.

    Returns:
        Float64 ``(T - 1, J)``: NaN where predicted invisible; infinite in frames with one visible joint, which has no
        size to measure by, so that it is wrong at every threshold.

    Raises:
        ValueError: If the shapes do not fit, or there are fewer predicted than annotated frames.

    Source: CropMAE's eval_pck (siammae.md C.6).
    """
    pred, gt = as_points(pred), as_points(gt)
    if pred.ndim != 3 or gt.ndim != 3 or pred.shape[1] != gt.shape[1] or len(pred) < len(gt):
        raise ValueError(
            f'joints must be (T, J, 2), with a prediction for each annotated frame: prediction {pred.shape}, '
            f'ground truth {gt.shape}'
        )
    pred, gt = pred[1 : len(gt)], gt[1:]
    visible = pred[..., 0] >= 0
    size = pose_normalizer(gt, visible)[:, None]
    distance = np.linalg.norm(pred - gt, axis=-1)
    relative = np.divide(distance, size, out=np.full(distance.shape, np.inf), where=size > 0)
    return np.where(visible, relative, np.nan)


def keypoint_accuracy(
    distances: np.ndarray, thresholds: Sequence[float] = (0.1, 0.2, 0.3, 0.4, 0.5)
) -> tuple[np.ndarray, np.ndarray]:
    """PCK: the share of visible predictions within each threshold, per joint over all frames of all videos.

    Args:
        distances: ``(N, J)``: :func:`joint_distances` of all videos, concatenated.
        thresholds: In units of the distances.

    Returns:
        Per cent of each joint ``(thresholds, J)``, NaN for one that is never visible (where the reference stops with a
        division by zero), and their means without NaN ``(thresholds,)``.

    Raises:
        ValueError: If ``distances`` is not of two dimensions or no joint is ever visible.

    Source: CropMAE's eval_pck (siammae.md C.6).
    """
    distances = np.asarray(distances)
    if distances.ndim != 2:
        raise ValueError(f'distances must be (N, J), not {distances.shape}')
    visible = (~np.isnan(distances)).sum(0)
    if not visible.any():
        raise ValueError('no joint is visible in any scored frame: there is nothing to measure')
    within = (distances <= np.asarray(thresholds)[:, None, None]).sum(1)
    per_joint = 100 * np.divide(within, visible, out=np.full(within.shape, np.nan), where=visible > 0)
    return per_joint, np.nanmean(per_joint, axis=1)
