import numpy as np
import pytest

from mmvidmae.evaluation.functional import joint_distances, keypoint_accuracy, pose_normalizer
from mmvidmae.structures.pose_maps import grid_to_image, joints_from_maps, pose_label_maps


def peak(maps):
    height, width = maps.shape[-2:]
    cell = maps.reshape(-1, height * width).argmax(1)
    return [(int(index % width), int(index // width)) for index in cell]


def test_gaussian_by_hand():
    (drawn,) = pose_label_maps([[3.2, 2.7]], (7, 8))  # h, w
    assert drawn.shape == (7, 8)
    assert peak(drawn) == [(3, 3)]
    assert drawn[3, 3] == 1
    assert drawn[3, 2] == drawn[3, 4] == drawn[2, 3] == drawn[4, 3] == pytest.approx(np.exp(-2))
    # 4 cells a side: two before the peak, one after it
    assert np.flatnonzero(drawn.any(0)).tolist() == [1, 2, 3, 4]
    assert np.flatnonzero(drawn.any(1)).tolist() == [1, 2, 3, 4]


@pytest.mark.parametrize(('x', 'cell'), [(0.2, 1), (0.6, 2), (1.49, 2), (1.5, 2), (2.4, 2), (2.5, 3)])
def test_peak_moves_inward_at_the_border(x, cell):
    assert peak(pose_label_maps([[x, 5.0], [5.0, x]], (9, 10))) == [(cell, 5), (5, cell)]


def test_outside_is_zero():
    maps = pose_label_maps([[-4, 3], [3, -4], [12, 3], [3, 12]], (6, 8))
    assert not maps.any()
    assert pose_label_maps(np.zeros((2, 5, 2)), (6, 8), sigma=1.0).shape == (2, 5, 6, 8)


def test_there_and_back():
    points = np.array([[3, 4], [10, 2], [6, 7]])
    maps = pose_label_maps(points, (10, 14))
    np.testing.assert_allclose(joints_from_maps(maps, topk=5), points, atol=1e-12)
    np.testing.assert_allclose(joints_from_maps(maps[None], topk=1)[0], points)


def test_joints_are_means_of_the_strongest_cells():
    maps = np.zeros((2, 3, 4))
    maps[0, 0, 1], maps[0, 2, 3], maps[0, 1, 0] = 3, 1, 0.5
    assert joints_from_maps(maps, topk=2).tolist() == [[1.5, 0.5], [-1, -1]]
    all_cells = joints_from_maps(maps, topk=99)
    np.testing.assert_allclose(all_cells[0], [6 / 4.5, 2.5 / 4.5])


def test_grid_to_image():
    assert grid_to_image([[5, 10]], (20, 40), (240, 320)).tolist() == [[40, 120]]


def test_normalizer():
    gt = np.array([[[0, 0], [3, 4], [100, 100]]] * 3, dtype=float)
    visible = [[True, True, False], [False, True, False], [False] * 3]
    np.testing.assert_allclose(pose_normalizer(gt, visible), [3, 0, np.nan])


@pytest.mark.filterwarnings('error')
def test_distances():
    gt = np.tile(np.array([[0.0, 0], [30, 40], [15, 20]]), (4, 1, 1))
    pred = np.concatenate([gt, gt[:1]])  # one frame without annotation
    pred[0] = 999  # frame 0 is not scored
    pred[1, 2] = 15, 26  # 6 px of 30
    pred[1, 0, 1] = -3  # only x decides on visibility
    pred[2, 1] = -1, 40
    pred[3, :2] = -1, -1  # one visible joint, even where it is right
    distances = joint_distances(pred, gt)
    np.testing.assert_allclose(distances, [[0.1, 0, 0.2], [0, np.nan, 0], [np.nan, np.nan, np.inf]])


def test_accuracy():
    distances = np.array([[0.1, np.inf, np.nan], [0.3, 0.2, np.nan], [np.nan, 0.05, np.nan]])
    per_joint, mean = keypoint_accuracy(distances, (0.1, 0.25))
    np.testing.assert_allclose(per_joint, [[50, 100 / 3, np.nan], [50, 200 / 3, np.nan]])
    np.testing.assert_allclose(mean, [(50 + 100 / 3) / 2, (50 + 200 / 3) / 2])


def test_errors():
    with pytest.raises(ValueError, match='pairs'):
        pose_label_maps(np.zeros((2, 15)), (4, 4))
    with pytest.raises(ValueError, match='sigma'):
        pose_label_maps(np.zeros((15, 2)), (4, 4), sigma=0)
    with pytest.raises(ValueError, match='topk'):
        joints_from_maps(np.zeros((15, 4, 4)), topk=0)
    with pytest.raises(ValueError, match='a prediction for each annotated frame'):
        joint_distances(np.zeros((3, 15, 2)), np.zeros((4, 15, 2)))
    with pytest.raises(ValueError, match='a prediction for each annotated frame'):
        joint_distances(np.zeros((4, 14, 2)), np.zeros((4, 15, 2)))
    with pytest.raises(ValueError, match='no joint is visible'):
        keypoint_accuracy(np.full((3, 15), np.nan))
    with pytest.raises(ValueError, match=r'\(N, J\)'):
        keypoint_accuracy(np.zeros(3))
