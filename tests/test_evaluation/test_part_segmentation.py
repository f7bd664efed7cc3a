import numpy as np
import pytest

from mmvidmae.evaluation.functional import confusion_matrix, segmentation_scores


def test_confusion_matrix():
    gt = np.array([[0, 0, 1, 1], [2, 2, 255, 3]], dtype=np.uint8)
    pred = np.array([[0, 1, 1, 1], [2, 0, 77, 200]], dtype=np.uint8)  # wrong only where the truth is ignored
    assert confusion_matrix(pred, gt, 3).tolist() == [[1, 1, 0], [0, 2, 0], [1, 0, 1]]
    assert confusion_matrix(pred, gt, 3).dtype == np.int64


def test_prediction_is_resized_by_nearest_neighbor():
    pred = np.array([[0, 1], [2, 3]])
    gt = np.kron(pred, np.ones((3, 2), dtype=int))
    np.testing.assert_array_equal(confusion_matrix(pred, gt, 4), np.diag([6] * 4))
    np.testing.assert_array_equal(confusion_matrix(gt, pred, 4), np.eye(4))


def test_confusion_matrix_errors():
    gt = np.zeros((2, 2), dtype=np.uint8)
    with pytest.raises(ValueError, match='prediction has class id 20, but there are 20 classes'):
        confusion_matrix(gt + 20, gt, 20)
    with pytest.raises(ValueError, match='0 to 255, not -1'):
        confusion_matrix(gt.astype(int) - 1, gt, 20)
    with pytest.raises(ValueError, match='ground truth has class id -1'):
        confusion_matrix(gt, gt.astype(int) - 1, 20)
    with pytest.raises(ValueError, match=r'must be \(H, W\)'):
        confusion_matrix(gt[None], gt, 20)


@pytest.mark.filterwarnings('error')
def test_scores():
    # class 2 is only predicted, class 3 is nowhere
    scores = segmentation_scores([[6, 2, 0, 0], [1, 0, 1, 0], [0, 0, 0, 0], [0, 0, 0, 0]])
    np.testing.assert_allclose(scores.iou_per_class, [6 / 9, 0, 0, np.nan])
    assert scores.miou == pytest.approx(6 / 9 / 3)
    assert scores.mean_accuracy == pytest.approx((6 / 8 + 0) / 2)
    assert scores.overall_accuracy == pytest.approx(6 / 10)
    assert scores.frequency_weighted_iou == pytest.approx(0.8 * 6 / 9)


def test_scores_errors():
    with pytest.raises(ValueError, match='square'):
        segmentation_scores(np.ones((2, 3)))
    with pytest.raises(ValueError, match='no pixel'):
        segmentation_scores(np.zeros((2, 2)))
