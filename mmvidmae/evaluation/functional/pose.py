"""Conversion of joints to label maps and back, and PCK (percentage of correct keypoints) on JHMDB, as CRW defines them.

Points are ``(x, y)`` in the last axis. ``joint_positions.mat`` holds ``pos_img`` as ``(2, J, T)`` in 1-based pixels.
Convert it with ``pos_img.transpose(2, 1, 0) - 1`` to the ``(T, J, 2)`` of these functions.
"""

from collections.abc import Sequence

import numpy as np
import torch


def pose_label_maps(points: np.ndarray, grid_size: tuple[int, int], sigma: float = 0.5) -> np.ndarray:
    """Draw each joint as a Gaussian in its own map on the feature grid.

    A Gaussian extends ``3 * sigma`` cells. Its peak is 1, at the cell ``floor(x + 0.5)`` if ``6 * sigma`` is odd and at
    ``floor(x)`` if it is even. Corners are truncated towards zero: less than ``3 * sigma`` cells from the left or upper
    border, the peak is one cell further inside. A joint more than ``3 * sigma`` cells outside the grid gives a map of
    zeros.

    Args:
        points: Joints ``(..., J, 2)`` in cells: 0-based pixels times grid size / image size.
        grid_size: Grid size ``(h, w)`` in cells.
        sigma: Standard deviation in cells, above 0.

    Returns:
        Float64 maps ``(..., J, h, w)``, 0 to 1.

    Raises:
        ValueError: If the last axis of ``points`` is not of size 2, or ``sigma`` is not above 0.

    Source: ``draw_labelmap_np`` of ``alexandre-eymael/CropMAE@5d0dab2:downstreams/propagation/src/data/jhmdb.py``,
    from CRW.
    """
    points = _as_points(points)
    if not sigma > 0:
        raise ValueError(f'sigma={sigma} must be above 0 cells')
    offset = (6 * sigma + 1) // 2
    squared = []
    for axis, size in ((1, grid_size[0]), (0, grid_size[1])):
        position = points[..., axis, None]
        first, end = np.trunc(position - 3 * sigma), np.trunc(position + 3 * sigma + 1)
        cells = np.arange(size)
        # outside the patch: infinitely far
        squared.append(np.where((cells >= first) & (cells < end), (cells - first - offset) ** 2, np.inf))
    return np.exp(-(squared[0][..., :, None] + squared[1][..., None, :]) / (2 * sigma**2))


def joints_from_maps(maps: np.ndarray, topk: int = 5) -> np.ndarray:
    """Compute the position of each joint as the mean of its strongest cells, weighted by their values.

    Ties between cells are resolved as by ``torch.topk`` on a CPU, as in the reference.

    Args:
        maps: Joint maps ``(..., J, h, w)`` without background, not negative.
        topk: Number of cells, 5 in CropMAE and UVC, 3 in CRW. If the grid has fewer cells, all are used.

    Returns:
        Float64 joints ``(..., J, 2)`` in cells. An invisible joint (a map of zeros) is ``(-1, -1)``.

    Raises:
        ValueError: If ``maps`` has fewer than three dimensions or ``topk`` is below 1.

    Source: ``process_pose`` of ``alexandre-eymael/CropMAE@5d0dab2:downstreams/propagation/src/utils/test_utils.py``,
    from CRW.
    """
    maps = np.asarray(maps, dtype=np.float64)
    if maps.ndim < 3 or topk < 1:
        raise ValueError(f'maps must be (..., J, h, w) and topk at least 1, not {maps.shape} and {topk}')
    width = maps.shape[-1]
    flat = maps.reshape(*maps.shape[:-2], -1)
    topk = min(topk, flat.shape[-1])
    # Gaussians are symmetric, so ties are common; the reference leaves them to torch
    cells = torch.tensor(flat).topk(topk).indices.numpy()
    weights = np.take_along_axis(flat, cells, axis=-1)
    total = weights.sum(-1, keepdims=True)
    weights = weights / np.where(total == 0, 1, total)
    points = np.stack(((weights * (cells % width)).sum(-1), (weights * (cells // width)).sum(-1)), axis=-1)
    return np.where(flat.sum(-1, keepdims=True) == 0, -1.0, points)


def grid_to_image(points: np.ndarray, grid_size: tuple[int, int], image_size: tuple[int, int]) -> np.ndarray:
    """Convert cells to 0-based pixels by scale only, without a half-cell offset, as the maps are drawn. Swap the sizes
    to convert pixels to cells.

    Args:
        points: Points ``(..., 2)`` in cells.
        grid_size: Grid size ``(h, w)`` in cells.
        image_size: Image size ``(H, W)`` in pixels.

    Raises:
        ValueError: If the last axis of ``points`` is not of size 2.

    Source: ``alexandre-eymael/CropMAE@5d0dab2:downstreams/propagation/src/eval/eval_pck.py``.
    """
    return _as_points(points) / grid_size[::-1] * image_size[::-1]


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
    pred, gt = _as_points(pred), _as_points(gt)
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


def _as_points(points: np.ndarray) -> np.ndarray:
    points = np.asarray(points, dtype=np.float64)
    if points.ndim < 1 or points.shape[-1] != 2:
        raise ValueError(f'points must end in (x, y) pairs, not have shape {points.shape}')
    return points
