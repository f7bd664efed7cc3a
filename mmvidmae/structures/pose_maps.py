"""Joints as maps on a feature grid, and back, as CRW draws them.

Points are ``(x, y)`` in the last axis.
"""

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
    points = as_points(points)
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
    return as_points(points) / grid_size[::-1] * image_size[::-1]


def as_points(points: np.ndarray) -> np.ndarray:
    points = np.asarray(points, dtype=np.float64)
    if points.ndim < 1 or points.shape[-1] != 2:
        raise ValueError(f'points must end in (x, y) pairs, not have shape {points.shape}')
    return points
