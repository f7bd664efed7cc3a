"""Region similarity J and boundary accuracy F of video object segmentation, as davis2017-evaluation defines them."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import cv2
import numpy as np

from mmvidmae.structures.label_maps import VOID, nothing_given


class TemporalStatistics(NamedTuple):
    """How an object's score behaves over a video.

    Attributes:
        mean: Mean over frames.
        recall: Share of frames that score above 0.5, 0 to 1.
        decay: Mean of the first quarter of frames minus mean of the last one; negative if the score rises.
    """

    mean: float
    recall: float
    decay: float


class SequenceScores(NamedTuple):
    """Scores of the K objects of one video, ``(K, T - 2)`` each; column ``t`` is frame ``t + 1``.

    Attributes:
        region: J, 0 to 1; NaN in frames up to the one in which the object is given.
        boundary: F, likewise.
        ids: Ids of the objects, ascending; empty if they are not known.
    """

    region: np.ndarray
    boundary: np.ndarray
    ids: tuple[int, ...] = ()


def region_similarity(pred: np.ndarray, gt: np.ndarray, void: np.ndarray | None = None) -> np.ndarray:
    """Region similarity J: intersection over union of masks.

    Args:
        pred: Predicted masks ``(..., H, W)``; anything but 0 is the object.
        gt: True masks of the same shape.
        void: Pixels that count for neither, of the same shape.

    Returns:
        Float64 of shape ``(...)``, 0 to 1; 1 where both masks are empty.

    Raises:
        ValueError: If the shapes differ or have fewer than two dimensions.

    Source: ``db_eval_iou`` of davis2017-evaluation (siammae.md C.4).
    """
    pred, gt = _without_void(pred, gt, void)
    union = np.count_nonzero(pred | gt, axis=(-2, -1))
    intersection = np.count_nonzero(pred & gt, axis=(-2, -1))
    return np.where(union == 0, 1.0, intersection / np.maximum(union, 1))


def mask_boundary(mask: np.ndarray) -> np.ndarray:
    """Boundary map, one pixel wide and half a pixel towards the origin.

    A pixel is on the boundary if its right, lower or lower right neighbor differs. The border of the image is none:
    a mask that fills the image has an empty boundary.

    Args:
        mask: ``(..., H, W)``; anything but 0 is the object.

    Returns:
        Bool of the same shape.

    Source: ``_seg2bmap`` of davis2017-evaluation. Its special cases for the last row and column are what repeating
    them beyond the border gives.
    """
    mask = np.asarray(mask, dtype=bool)
    beyond = np.pad(mask, [(0, 0)] * (mask.ndim - 2) + [(0, 1), (0, 1)], mode='edge')
    right, below, diagonal = beyond[..., :-1, 1:], beyond[..., 1:, :-1], beyond[..., 1:, 1:]
    return (mask != right) | (mask != below) | (mask != diagonal)


def disk(radius: int) -> np.ndarray:
    """Structuring element: uint8 ``(2 * radius + 1, 2 * radius + 1)``, 1 within ``radius`` pixels of the center."""
    offsets = np.arange(-radius, radius + 1)
    return (offsets[:, None] ** 2 + offsets**2 <= radius**2).astype(np.uint8)


def boundary_tolerance(size: tuple[int, int], bound_th: float = 0.008) -> int:
    """How far matched boundaries may be apart.

    Args:
        size: ``(H, W)`` of the masks in pixels.
        bound_th: Below 1, a share of the image's diagonal; else a whole number of pixels.

    Returns:
        Pixels: 8 at 480x854, but 9 at 480x880, where F is therefore slightly higher.

    Raises:
        ValueError: If ``bound_th`` is negative, or 1 or more and not whole.

    Source: ``f_measure`` of davis2017-evaluation.
    """
    if bound_th < 0 or (bound_th >= 1 and bound_th != int(bound_th)):
        raise ValueError(
            f'bound_th={bound_th} is neither a share of the diagonal (0 to 1) nor a whole number of pixels'
        )
    return int(bound_th) if bound_th >= 1 else math.ceil(bound_th * float(np.linalg.norm(size)))


def boundary_accuracy(
    pred: np.ndarray, gt: np.ndarray, void: np.ndarray | None = None, bound_th: float = 0.008
) -> np.ndarray:
    """Boundary accuracy F: harmonic mean of the shares of predicted and of true boundary that have a match.

    Args:
        pred: Predicted masks ``(..., H, W)``; anything but 0 is the object.
        gt: True masks of the same shape.
        void: Pixels that belong to neither, of the same shape.
        bound_th: Tolerance, see :func:`boundary_tolerance`.

    Returns:
        Float64 of shape ``(...)``, 0 to 1; 1 where neither mask has a boundary, 0 where only one has.

    Raises:
        ValueError: If the shapes differ or have fewer than two dimensions, or ``bound_th`` is out of range.

    Source: ``db_eval_boundary`` of davis2017-evaluation (siammae.md C.4).
    """
    pred, gt = _without_void(pred, gt, void)
    *leading, height, width = pred.shape
    kernel = disk(boundary_tolerance((height, width), bound_th))
    scores = [
        _boundary_f(pred_boundary, gt_boundary, kernel)
        for pred_boundary, gt_boundary in zip(
            mask_boundary(pred).reshape(-1, height, width), mask_boundary(gt).reshape(-1, height, width)
        )
    ]
    return np.array(scores, dtype=np.float64).reshape(leading)


def score_sequence(
    pred: np.ndarray, gt: np.ndarray, bound_th: float = 0.008, later: Mapping[int, int] | None = None
) -> SequenceScores:
    """J and F of every object in every scored frame of a video; the first and the last frame are not scored.

    Objects are the ids in frame 0 of ``gt`` and those of ``later``. An object that a prediction lacks is scored with an
    empty mask. Other ids of ``gt`` count as background, and so does its void (255).

    Args:
        pred: Integer label maps ``(T, H, W)`` of all frames, 0 background.
        gt: True label maps of the same shape, at the resolution to score at.
        bound_th: Tolerance of F, see :func:`boundary_tolerance`.
        later: Objects that are given after frame 0, as in YouTube-VOS: the first frame in which an id is scored.

    Raises:
        ValueError: If the shapes differ or hold fewer than three frames, there is no object, or a scored frame of
            ``pred`` has an id (255 too) that is no object.

    Source: semi-supervised task of davis2017-evaluation (siammae.md C.4), whose ids have no gaps.
    """
    pred, gt = np.asarray(pred), np.asarray(gt)
    _check_shapes(pred, gt)
    if pred.ndim != 3 or len(gt) < 3:
        raise ValueError(
            f'label maps must be (T, H, W) with at least 3 frames, as first and last are not scored: {gt.shape}'
        )
    given = [int(i) for i in np.unique(gt[0]) if i not in (0, VOID)]
    first = dict(sorted({**(later or {}), **dict.fromkeys(given, 1)}.items()))
    if not first:
        raise nothing_given({'frame 0 of the ground truth': gt[0]})
    ids = np.array(list(first))
    pred, gt = pred[1:-1], gt[1:-1]
    wrong = ~np.isin(pred, [0, *ids])
    if wrong.any():
        frame, y, x = np.argwhere(wrong)[0]
        others = [i for i in first if i not in given]
        raise ValueError(
            f'prediction has id {pred[frame, y, x]} in frame {frame + 1}, but frame 0 has objects {_listing(given)}'
            f'{f" and {_listing(others)} are given later" if others else ""}; write 0 for background'
        )
    region, boundary = [], []
    for pred_frame, gt_frame in zip(pred, gt):  # frame by frame: masks of all objects of a long video are gigabytes
        pair = pred_frame == ids[:, None, None], gt_frame == ids[:, None, None]
        region.append(region_similarity(*pair))
        boundary.append(boundary_accuracy(*pair, bound_th=bound_th))
    known = np.arange(1, len(gt) + 1) >= np.array(list(first.values()))[:, None]
    region, boundary = (np.where(known, np.stack(scores, axis=1), np.nan) for scores in (region, boundary))
    return SequenceScores(region, boundary, tuple(first))


def temporal_statistics(values: np.ndarray) -> TemporalStatistics:
    """Mean, recall and decay of one object's scores.

    NaN is left out of mean and decay, but counts as a frame below 0.5 in the recall. Quarters share a frame with their
    neighbor.

    Args:
        values: Scores ``(T,)``, 0 to 1.

    Raises:
        ValueError: If ``values`` is empty or not of one dimension.

    Source: ``db_statistics`` of davis2017-evaluation; its 8-bit frame numbers make its decay wrong from 256 frames on,
    ours is right there.
    """
    values = np.asarray(values, dtype=np.float64)
    if values.ndim != 1 or not len(values):
        raise ValueError(f'scores of one object must be (T,) with at least one frame, not {values.shape}')
    # 1e-10: halves round up
    edges = np.round(np.linspace(1, len(values), 5) + 1e-10).astype(int) - 1
    first, last = values[edges[0] : edges[1] + 1], values[edges[3] : edges[4] + 1]
    return TemporalStatistics(_nanmean(values), float((values > 0.5).mean()), _nanmean(first) - _nanmean(last))


def summarize_sequences(sequences: Iterable[SequenceScores]) -> dict[str, float]:
    """The dataset's scores: each is the mean over the objects of all videos, whatever the videos' lengths.

    An object counts with the frames after the one in which it is given, and not at all if there are none.

    Args:
        sequences: Scores of all videos.

    Returns:
        ``J&F-Mean``, ``J-Mean``, ``J-Recall``, ``J-Decay``, ``F-Mean``, ``F-Recall``, ``F-Decay`` in this order, 0 to 1
        (decays -1 to 1).

    Raises:
        ValueError: If there are none, or no object has a scored frame.

    Source: davis2017-evaluation (siammae.md C.4).
    """
    sequences = list(sequences)
    if not sequences:
        raise ValueError('no sequences to summarize')
    summary = {}
    for letter, field in (('J', 'region'), ('F', 'boundary')):
        objects = [values[~np.isnan(values)] for scores in sequences for values in getattr(scores, field)]
        statistics = [temporal_statistics(values) for values in objects if len(values)]
        if not statistics:
            raise ValueError('no object has a scored frame')
        for name, values in zip(TemporalStatistics._fields, zip(*statistics)):
            summary[f'{letter}-{name.capitalize()}'] = float(np.mean(values))
    return {'J&F-Mean': (summary['J-Mean'] + summary['F-Mean']) / 2, **summary}


def _boundary_f(pred: np.ndarray, gt: np.ndarray, kernel: np.ndarray) -> float:
    num_pred, num_gt = np.count_nonzero(pred), np.count_nonzero(gt)
    if num_pred == 0 or num_gt == 0:
        return float(num_pred == num_gt)
    # only boundary pixels are looked up, so that nothing outside their bounding box matters
    x, y, width, height = cv2.boundingRect((pred | gt).view(np.uint8))
    pred, gt = (np.ascontiguousarray(mask[y : y + height, x : x + width]).view(np.uint8) for mask in (pred, gt))
    precision = np.count_nonzero(pred & cv2.dilate(gt, kernel)) / num_pred  # type: ignore[operator]
    recall = np.count_nonzero(gt & cv2.dilate(pred, kernel)) / num_gt  # type: ignore[operator]
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def _without_void(pred: np.ndarray, gt: np.ndarray, void: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    pred, gt = np.asarray(pred, dtype=bool), np.asarray(gt, dtype=bool)
    _check_shapes(pred, gt)
    if void is None:
        return pred, gt
    void = np.asarray(void, dtype=bool)
    _check_shapes(void, gt, 'void')
    return pred & ~void, gt & ~void


def _check_shapes(mask: np.ndarray, gt: np.ndarray, name: str = 'prediction') -> None:
    if mask.shape != gt.shape or gt.ndim < 2:
        raise ValueError(f'masks must be (..., H, W) of one shape: {name} {mask.shape}, ground truth {gt.shape}')


def _listing(ids: Sequence[int]) -> str:
    """Ids as text: '1 to 3' without gaps, else '1, 5, 9'."""
    if not ids:
        return 'none'
    if len(ids) > 1 and ids[-1] - ids[0] == len(ids) - 1:
        return f'{ids[0]} to {ids[-1]}'
    return ', '.join(map(str, ids))


def _nanmean(values: np.ndarray) -> float:
    valid = values[~np.isnan(values)]
    return float(valid.mean()) if len(valid) else math.nan
