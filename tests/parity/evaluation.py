"""Parity of the evaluation functions with the official and peer implementations.

Each checker reads one kind of reference file, sizes, names and options included, and compares everything in it.
"""

import numpy as np

from mmvidmae.evaluation import functional
from mmvidmae.structures import pose_maps

from .report import Arrays, Report

ATOL = 1e-9


def check_video_segmentation(arrays: Arrays) -> Report:
    """J and F of davis2017-evaluation: boundaries, tolerances, per-frame, per-object and global scores."""
    report = Report()
    sequences = [str(name) for name in arrays['sequences']]
    scores = []
    for name in sequences:
        gt = arrays[f'{name}/gt']
        scored = functional.score_sequence(arrays[f'{name}/pred'], gt)
        scores.append(scored)
        report.compare(f'{name}/bound_pix', functional.boundary_tolerance(gt.shape[1:]), arrays[f'{name}/bound_pix'])
        for letter, values in zip('JF', scored):
            report.compare(
                f'{name}/{letter}_per_object_per_frame', values, arrays[f'{name}/{letter}_per_object_per_frame'], ATOL
            )
            if f'{name}/vosbench_ids' in arrays:
                rows = arrays[f'{name}/vosbench_ids'] - 1
                report.compare(
                    f'{name}/vosbench_{letter}', values.mean(1)[rows], arrays[f'{name}/vosbench_{letter}'], ATOL
                )

    names = [f'{name}_{index + 1}' for name, scored in zip(sequences, scores) for index in range(len(scored.region))]
    report.add('object_names', names != arrays['object_names'].tolist(), 0, 'differs')
    for index, letter in enumerate('JF'):
        objects = [functional.temporal_statistics(values) for scored in scores for values in scored[index]]
        for statistic, values in zip('MRD', zip(*objects)):
            key = f'{letter}_{statistic}_per_object'
            report.compare(key, np.array(values), arrays[key], ATOL)
    key = 'global_JF_J_Jr_Jd_F_Fr_Fd'
    report.compare(key, np.array(list(functional.summarize_sequences(scores).values())), arrays[key], ATOL)

    for name in _groups(arrays, 'seg2bmap'):
        mask = arrays[f'{name}/mask']
        report.compare(f'{name}/boundary', functional.mask_boundary(mask), arrays[f'{name}/boundary'])
        # what the reference was run with
        bound_th = 0.008 if len(mask) < 20 else 2
        for key in (key for key in arrays if key.startswith(f'{name}/other')):
            case = key.removeprefix(f'{name}/other')
            other, void = arrays[key], arrays.get(f'{name}/void{case}')
            report.compare(
                f'{name}/J{case}', functional.region_similarity(other, mask, void), arrays[f'{name}/J{case}'], ATOL
            )
            f = functional.boundary_accuracy(other, mask, void, bound_th)
            report.compare(f'{name}/F{case}', f, arrays[f'{name}/F{case}'], ATOL)

    for key in (key for key in arrays if key.startswith('disk/')):
        report.compare(key, functional.disk(int(key.removeprefix('disk/'))), arrays[key])
    if 'bound_pix/hw' in arrays:
        tolerances = np.array([functional.boundary_tolerance(tuple(size)) for size in arrays['bound_pix/hw']])
        report.compare('bound_pix/value', tolerances, arrays['bound_pix/value'])
    for name in _groups(arrays, 'stats'):
        statistics = np.array(functional.temporal_statistics(arrays[f'{name}/values']))
        report.compare(f'{name}/mean_recall_decay', statistics, arrays[f'{name}/mean_recall_decay'], ATOL)
    for name in _groups(arrays, 'stats_overflow'):  # the decay recorded there is NaN, which ours is not
        statistics = np.array(functional.temporal_statistics(arrays[f'{name}/values']))
        expected = arrays[f'{name}/mean_recall_decay']
        report.compare(f'{name}/mean_recall', statistics[:2], expected[:2], ATOL)
    return report


def check_part_segmentation(arrays: Arrays) -> Report:
    """VIP's confusion matrix and its scores."""
    report = Report()
    expected = arrays['vip/hist_gt_rows_pred_cols']
    total = np.zeros_like(expected)
    by_video = {}
    for key in (key for key in arrays if key.startswith('vip/gt/')):
        frame = key.removeprefix('vip/gt/')
        gt, pred = arrays[key], arrays[f'vip/pred/{frame}']
        matrix = functional.confusion_matrix(pred, gt, len(expected))
        total += matrix
        by_video.setdefault(frame.rsplit('/', 1)[0], []).append((matrix, gt.shape == pred.shape))
    report.compare('vip/hist_gt_rows_pred_cols', total, expected)
    if 'vip/hist_same_size_videos_only' in arrays:
        same = np.zeros_like(expected)
        for frames in by_video.values():
            if all(same_size for _, same_size in frames):
                same += sum(matrix for matrix, _ in frames)
        report.compare('vip/hist_same_size_videos_only', same, arrays['vip/hist_same_size_videos_only'])
    for name, value in zip(
        ('iou_per_class', 'miou', 'mean_acc', 'overall_acc', 'fw_iou'), functional.segmentation_scores(total)
    ):
        _compare(report, f'vip/{name}', np.asarray(value), arrays[f'vip/{name}'], atol=ATOL)
    return report


def check_pose(arrays: Arrays) -> Report:
    """JHMDB's joints as maps, maps as joints and PCK."""
    report = Report()
    for name in (name for name in _groups(arrays, 'pose') if 'draw_sigma' in name):
        expected = arrays[f'{name}/maps']
        sigma = float(name.rpartition('draw_sigma')[2])
        maps = pose_maps.pose_label_maps(arrays[f'{name}/points_xy'], expected.shape[1:], sigma)
        report.compare(f'{name}/maps', maps, expected, ATOL)

    grid_size = tuple(arrays['pose/labels/input_hw'] // arrays['pose/labels/map_scale'])
    points = _joints(arrays['pose/labels/pos_img_1based']) - 1
    points = pose_maps.grid_to_image(points, tuple(arrays['pose/labels/image_hw']), grid_size)
    maps = pose_maps.pose_label_maps(points, grid_size)
    maps = np.moveaxis(np.concatenate(((maps == 0).all(1, keepdims=True), maps), axis=1), 1, -1)
    report.compare('pose/labels/all_frames', maps, arrays['pose/labels/all_frames'], 1e-6)
    report.compare('pose/labels/frame0_maps_with_bg', maps[0], arrays['pose/labels/frame0_maps_with_bg'], 1e-6)

    for source, prefix in (
        ('pose/process/maps_with_bg', 'pose/process/coords_top'),
        ('pose/labels/frame0_maps_with_bg', 'pose/process/roundtrip_of_frame0_maps_top'),
    ):
        maps = np.moveaxis(arrays[source], -1, 0)[1:]
        for key in (key for key in arrays if key.startswith(prefix)):
            joints = pose_maps.joints_from_maps(maps, topk=int(key.removeprefix(prefix)))
            report.compare(key, joints.T, arrays[key], 1e-4)

    grid_size = tuple(arrays['pck/feat_res_w_h'][::-1])
    distances = []
    for name in sorted(_groups(arrays, 'pck'), key=lambda name: int(name.rpartition('/')[2])):
        gt = _joints(arrays[f'{name}/pos_img_1based']) - 1
        cells = _joints(arrays[f'{name}/pred_grid_xy'])
        pred = pose_maps.grid_to_image(cells, grid_size, tuple(arrays[f'{name}/image_hw']))
        distances.append(functional.joint_distances(pred, gt))
        normalizer = functional.pose_normalizer(gt, pred[: len(gt), :, 0] >= 0)
        measurable = ~np.isnan(normalizer)  # the reference's value without a visible joint has no meaning
        key = f'{name}/normaliser_per_frame'
        report.compare(key, normalizer[measurable], arrays[key][measurable], 1e-6)
    distances = np.concatenate(distances)
    for joint, values in enumerate(distances.T):
        key = f'pck/dist_joint{joint:02d}'
        _compare(report, key, values[~np.isnan(values)], arrays[key], rtol=ATOL)
    per_joint, mean = functional.keypoint_accuracy(distances, arrays['pck/thresholds'])
    report.compare('pck/per_joint', per_joint, arrays['pck/per_joint'], ATOL)
    report.compare('pck/mean', mean, arrays['pck/mean'], ATOL)
    return report


def _groups(arrays: Arrays, prefix: str) -> list[str]:
    """``prefix/X`` of all arrays ``prefix/X/...``, in the order of the file."""
    return list(
        dict.fromkeys(
            '/'.join(key.split('/')[:2]) for key in arrays if key.startswith(f'{prefix}/') and key.count('/') > 1
        )
    )


def _joints(positions: np.ndarray) -> np.ndarray:
    """``(2, J, T)`` to ``(T, J, 2)``."""
    return positions.transpose(2, 1, 0)


def _compare(report: Report, name: str, actual: np.ndarray, expected: np.ndarray, **tolerance: float) -> None:
    """Compare arrays in which NaN and infinity are values: in the same places, or it fails."""
    finite = np.isfinite(expected)
    if actual.shape == expected.shape and np.array_equal(actual[~finite], expected[~finite], equal_nan=True):
        actual, expected = np.where(finite, actual, 0), np.where(finite, expected, 0)
    report.compare(name, actual, expected, **tolerance)
