"""Mean IoU of part segmentation (VIP), from one confusion matrix over all frames of all videos."""

from typing import NamedTuple

import numpy as np
from PIL import Image


class SegmentationScores(NamedTuple):
    """Scores of a confusion matrix, 0 to 1.

    Attributes:
        iou_per_class: ``(C,)``; NaN for classes in neither ground truth nor prediction, 0 for those only predicted.
        miou: Mean of ``iou_per_class`` without NaN.
        mean_accuracy: Mean over the classes in the ground truth of the share of their pixels that is right.
        overall_accuracy: Share of all pixels that is right.
        frequency_weighted_iou: Mean of ``iou_per_class`` weighted by the pixels of each class in the ground truth.
    """

    iou_per_class: np.ndarray
    miou: float
    mean_accuracy: float
    overall_accuracy: float
    frequency_weighted_iou: float


def confusion_matrix(pred: np.ndarray, gt: np.ndarray, num_classes: int) -> np.ndarray:
    """Count pixels by true and predicted class; matrices of frames add up.

    A prediction of another size is resized to the ground truth's by Pillow's nearest neighbor, as the reference does.

    Args:
        pred: Integer class ids ``(h, w)``, 0 to ``num_classes - 1``, at most 255.
        gt: Integer class ids ``(H, W)``; pixels with ids from ``num_classes`` on are ignored.
        num_classes: Number of classes C with the background, 20 for VIP.

    Returns:
        Int64 ``(C, C)``: rows ground truth, columns prediction.

    Raises:
        ValueError: If an array is not of two dimensions, or a scored pixel has a predicted or a true id below 0 or a
            predicted one from ``num_classes`` on. (The reference books such a prediction in another class' cell.)

    Source: ``compute_hist`` of CropMAE's eval_vip (siammae.md C.5).
    """
    pred, gt = np.asarray(pred), np.asarray(gt)
    if pred.ndim != 2 or gt.ndim != 2:
        raise ValueError(f'label maps must be (H, W): prediction {pred.shape}, ground truth {gt.shape}')
    if pred.size and not 0 <= pred.min() <= pred.max() <= 255:
        raise ValueError(f'predicted class ids must be 0 to 255, not {pred.min()} to {pred.max()}')
    if pred.shape != gt.shape:
        resized = Image.fromarray(pred.astype(np.uint8)).resize((gt.shape[1], gt.shape[0]), Image.Resampling.NEAREST)
        pred = np.asarray(resized)
    scored = gt < num_classes
    pred, gt = pred[scored].astype(np.int64), gt[scored].astype(np.int64)
    for name, ids in (('prediction', pred), ('ground truth', gt)):
        if ids.size and not 0 <= ids.min() <= ids.max() < num_classes:
            wrong = ids.min() if ids.min() < 0 else ids.max()
            raise ValueError(f'{name} has class id {wrong}, but there are {num_classes} classes from 0 on')
    counts = np.bincount(gt * num_classes + pred, minlength=num_classes**2)
    return counts.reshape(num_classes, num_classes)


def segmentation_scores(matrix: np.ndarray) -> SegmentationScores:
    """Scores of a confusion matrix over a whole dataset.

    Args:
        matrix: ``(C, C)`` pixel counts: rows ground truth, columns prediction.

    Raises:
        ValueError: If the matrix is not square or counts no pixel.

    Source: ``show_result`` of CropMAE's eval_vip (siammae.md C.5).
    """
    matrix = np.asarray(matrix)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        raise ValueError(f'a confusion matrix must be square, not {matrix.shape}')
    total = matrix.sum()
    if total == 0:
        raise ValueError('the confusion matrix counts no pixel: is all of the ground truth ignored?')
    right, true, predicted = matrix.diagonal(), matrix.sum(1), matrix.sum(0)
    with np.errstate(invalid='ignore'):  # 0 / 0 is NaN: an absent class
        iou = right / (true + predicted - right)
        accuracy = right / true
    return SegmentationScores(
        iou_per_class=iou,
        miou=float(np.nanmean(iou)),
        mean_accuracy=float(np.nanmean(accuracy)),
        overall_accuracy=float(right.sum() / total),
        frequency_weighted_iou=float((true[true > 0] / total * iou[true > 0]).sum()),
    )
