"""Joints as label maps and back, and the share of correct keypoints (PCK) on JHMDB, as CRW defines them.

Points are ``(x, y)`` in the last axis. ``joint_positions.mat`` holds ``pos_img`` as ``(2, J, T)`` in 1-based pixels:
``pos_img.transpose(2, 1, 0) - 1`` gives the ``(T, J, 2)`` that these functions take.
"""

from collections.abc import Sequence

import numpy as np
import torch


def pose_label_maps(points: np.ndarray, grid_size: tuple[int, int], sigma: float = 0.5) -> np.ndarray:
    """Draw joints as Gaussians on the feature grid, one map each.

    A Gaussian reaches ``3 * sigma`` cells and peaks with 1 at the cell ``floor(x + 0.5)`` (for ``6 * sigma`` odd) or
    ``floor(x)`` (even); corners are truncated towards zero, so that less than ``3 * sigma`` cells from the left or
    upper border the peak is one cell further in. A joint outside the grid by more than that leaves a map of zeros.

    Args:
        points: ``(..., J, 2)`` in cells: 0-based pixels times grid size / image size.
        grid_size: ``(h, w)`` in cells.
        sigma: Standard deviation in cells, above 0.

    Returns:
        Float64 ``(..., J, h, w)``, 0 to 1.

    Raises:
        ValueError: If ``points`` does not end in pairs or ``sigma`` is not above 0.

    Source: ``draw_labelmap_np`` of CRW and CropMAE (siammae.md C.6).
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
    """Position of each joint: the mean of its strongest cells, weighted by their values.

    Of equal cells, those count that ``torch.topk`` picks on a CPU, as in the reference.

    Args:
        maps: Joint maps ``(..., J, h, w)`` without background, not negative.
        topk: Number of cells, 5 in CropMAE and UVC, 3 in CRW; all where the grid has fewer.

    Returns:
        Float64 ``(..., J, 2)`` in cells; ``(-1, -1)`` for a map of zeros, an invisible joint.

    Raises:
        ValueError: If ``maps`` has fewer than three dimensions or ``topk`` is below 1.

    Source: ``process_pose`` of CRW and CropMAE (siammae.md C.6).
    """
    maps = np.asarray(maps, dtype=np.float64)
    if maps.ndim < 3 or topk < 1:
        raise ValueError(f'maps must be (..., J, h, w) and topk at least 1, not {maps.shape} and {topk}')
    width = maps.shape[-1]
    flat = maps.reshape(*maps.shape[:-2], -1)
    topk = min(topk, flat.shape[-1])
    # Gaussians are symmetric: which of several equal cells is the last to count is torch's choice in the reference
    cells = torch.tensor(flat).topk(topk).indices.numpy()
    weights = np.take_along_axis(flat, cells, axis=-1)
    total = weights.sum(-1, keepdims=True)
    weights = weights / np.where(total == 0, 1, total)
    points = np.stack(((weights * (cells % width)).sum(-1), (weights * (cells // width)).sum(-1)), axis=-1)
    return np.where(flat.sum(-1, keepdims=True) == 0, -1.0, points)


def grid_to_image(points: np.ndarray, grid_size: tuple[int, int], image_size: tuple[int, int]) -> np.ndarray:
    """Cells to 0-based pixels by scale alone, without half a cell, as the maps are drawn; swap the sizes for the way
    back.

    Args:
        points: ``(..., 2)`` in cells.
        grid_size: ``(h, w)`` in cells.
        image_size: ``(H, W)`` in pixels.

    Raises:
        ValueError: If ``points`` does not end in pairs.

    Source: CropMAE's eval_pck (siammae.md C.6).
    """
    return _as_points(points) / grid_size[::-1] * image_size[::-1]


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


def _as_points(points: np.ndarray) -> np.ndarray:
    points = np.asarray(points, dtype=np.float64)
    if points.ndim < 1 or points.shape[-1] != 2:
        raise ValueError(f'points must end in (x, y) pairs, not have shape {points.shape}')
    return points
