"""Joints as maps on a feature grid, and back, as CRW draws them.

Points are ``(x, y)`` in the last axis.
"""

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
    return as_points(points) / grid_size[::-1] * image_size[::-1]


def as_points(points: np.ndarray) -> np.ndarray:
    points = np.asarray(points, dtype=np.float64)
    if points.ndim < 1 or points.shape[-1] != 2:
        raise ValueError(f'points must end in (x, y) pairs, not have shape {points.shape}')
    return points
