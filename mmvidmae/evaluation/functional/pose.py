"""Conversion of joints to label maps and back, and PCK (percentage of correct keypoints) on JHMDB, as CRW defines them.

Points are ``(x, y)`` in the last axis. ``joint_positions.mat`` holds ``pos_img`` as ``(2, J, T)`` in 1-based pixels.
Convert it with ``pos_img.transpose(2, 1, 0) - 1`` to the ``(T, J, 2)`` of these functions.
"""

from collections.abc import Sequence

import numpy as np

from mmvidmae.structures.pose_maps import as_points


def pose_normalizer(gt: np.ndarray, visible: np.ndarray) -> np.ndarray:
    """Compute the size of the person in each frame: 0.6 times the diagonal of the box around the visible joints.

    Args:
        gt: True joints ``(T, J, 2)`` in pixels.
        visible: Visibility of the predicted joints, bool ``(T, J)``.

    Returns:
        Float64 sizes ``(T,)`` in pixels; 0 with one visible joint, NaN with none.

    Source: ``alexandre-eymael/CropMAE@5d0dab2:downstreams/propagation/src/eval/eval_pck.py:57-152``.
    """
    visible = np.asarray(visible, dtype=bool)[..., None]
    low = np.where(visible, gt, np.inf).min(1)
    high = np.where(visible, gt, -np.inf).max(1)
    return np.where(visible[..., 0].any(1), 0.6 * np.linalg.norm(high - low, axis=-1), np.nan)


def joint_distances(pred: np.ndarray, gt: np.ndarray) -> np.ndarray:
    """Compute the distances of predicted from true joints in units of :func:`pose_normalizer`.

    Frame 0, the reference frame, is excluded, as are predictions after the last annotated frame. A joint that is
    predicted invisible (``x < 0``, for any ``y``) is not scored, and does not count for the box of its frame.

    Args:
        pred: Predicted joints ``(T', J, 2)`` in 0-based pixels.
        gt: True joints ``(T, J, 2)`` in 0-based pixels, ``T <= T'``.

    Returns:
        Float64 distances ``(T - 1, J)``. NaN for joints predicted invisible. Infinite in frames with one visible joint:
        the person then has size 0, and the joint is wrong at every threshold.

    Raises:
        ValueError: If the shapes do not match, or there are fewer predicted than annotated frames.

    Source: ``alexandre-eymael/CropMAE@5d0dab2:downstreams/propagation/src/eval/eval_pck.py:57-152``.
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
    """Compute PCK: the percentage of visible predictions within each threshold, per joint over all frames of all
    videos.

    Args:
        distances: Distances ``(N, J)`` of all videos from :func:`joint_distances`, concatenated.
        thresholds: Thresholds in the same units.

    Returns:
        Percentages of each joint ``(thresholds, J)``, and their means without NaN ``(thresholds,)``. A joint that is
        never visible is NaN; the reference fails with a division by zero in this case.

    Raises:
        ValueError: If ``distances`` does not have two dimensions, or no joint is ever visible.

    Source: ``alexandre-eymael/CropMAE@5d0dab2:downstreams/propagation/src/eval/eval_pck.py:57-152``.
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
