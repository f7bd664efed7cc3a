"""Parity of the tracking scores with PyTracking, the GOT-10k toolkit, pysot, the VOT toolkit and an RGB-T toolkit."""

import numpy as np

from mmvidmae.evaluation.functional import tracking as T
from mmvidmae.evaluation.functional import vot
from mmvidmae.structures import regions

from .report import Arrays, Report


def check_sot_metrics(arrays: Arrays) -> Report:
    """Overlaps, center errors, curves and scores of all protocols."""
    report = Report()
    names = sorted({name.split('/')[0] for name in arrays if name.startswith('seq')}, key=lambda name: int(name[3:]))
    videos = [[arrays[f'{name}/{what}'] for what in ('pred_xywh', 'gt_xywh', 'visible', 'cover')] for name in names]
    sizes = [tuple(arrays[f'{name}/image_wh'].tolist()) for name in names]

    for dataset in ('lasot', 'otb'):
        errors = [T.pytracking_errors(p, g, v if dataset == 'lasot' else None) for p, g, v, _ in videos]
        for name, error in zip(names, errors):
            recorded = zip(('overlap', 'center_err', 'norm_center_err', 'valid'), error)
            for what, value in recorded:
                _compare(report, f'{name}/pytracking_{dataset}_{what}', value, arrays, 1e-9)
        for exclude in (False, True):
            prefix = f'pytracking_{dataset}{"_exclude_invalid" if exclude else ""}'
            each = [T.pytracking_curves(error, exclude) for error in errors]
            mean = T.Curves.mean(each)
            for what, value in {
                'AUC': mean.auc,
                'OP50': mean.success_at(0.5),
                'OP75': mean.success_at(0.75),
                'precision20': mean.precision20,
                'norm_precision02': mean.norm_precision20,
                'success_curve': mean.success,
                'precision_curve': mean.precision,
                'norm_precision_curve': mean.norm_precision,
            }.items():
                report.compare(f'{prefix}/{what}', 100 * np.asarray(value), arrays[f'{prefix}/{what}'], atol=1e-4)
            report.compare(
                f'{prefix}/overlap_thresholds', T.OVERLAPS, arrays[f'{prefix}/overlap_thresholds'], atol=1e-6
            )
            average = [error.overlap[error.valid].mean() for error in errors]
            report.compare(
                f'{prefix}/avg_overlap_per_sequence', average, arrays[f'{prefix}/avg_overlap_per_sequence'], atol=1e-6
            )
            success = [curve.success for curve in each]
            report.compare(
                f'{prefix}/success_curve_per_sequence',
                success,
                arrays[f'{prefix}/success_curve_per_sequence'],
                atol=1e-6,
            )

    _check_toolkit(report, arrays, 'got10k_toolkit_otb', [T.toolkit_ope(p, g) for p, g, _, _ in videos])
    seen = [np.where(v[:, None], g, np.nan) for _, g, v, _ in videos]
    _check_toolkit(report, arrays, 'got10k_toolkit_lasot', [T.toolkit_ope(v[0], gt) for v, gt in zip(videos, seen)])

    each = [T.got10k_overlaps(p, g, cover > 0, size) for (p, g, _, cover), size in zip(videos, sizes)]
    pooled = np.concatenate(each)
    for what, value in {
        'AO': pooled.mean(),
        'SR50': (pooled > 0.5).mean(),
        'SR75': (pooled > 0.75).mean(),
        'success_curve_101': (pooled[:, None] > np.linspace(0, 1, 101)).mean(0),
        'AO_per_sequence': [overlap.mean() for overlap in each],
        'SR50_per_sequence': [(overlap > 0.5).mean() for overlap in each],
    }.items():
        report.compare(f'got10k_val/{what}', value, arrays[f'got10k_val/{what}'], atol=1e-9)

    for name, (p, g, _, _), size in zip(names, videos, sizes):
        for what, value in {
            'rect_iou_unbounded': T.toolkit_overlaps(p, g),
            'rect_iou_bounded': T.toolkit_overlaps(p, g, size),
            'toolkit_center_error': T.center_errors(p, g),
            'toolkit_norm_center_error': T.center_errors(p, g, g[:, 2:].clip(1)),
        }.items():
            report.compare(f'{name}/{what}', value, arrays[f'{name}/{what}'], atol=1e-9)
    for prefix, with_visible in (('pysot', False), ('pysot_absent', True)):
        each = [T.pysot_ope(p, g, v if with_visible else None) for p, g, v, _ in videos]
        for what in ('success', 'precision', 'norm_precision'):
            value = [getattr(curve, what) for curve in each]
            report.compare(f'{prefix}/{what}', value, arrays[f'{prefix}/{what}'], atol=1e-9)
    return report


def check_vot_supervised(arrays: Arrays) -> Report:
    """Overlaps of regions, EAO, accuracy and robustness; the toolkit computes curves in float32."""
    report = Report()
    size = tuple(arrays['image_wh'].tolist())
    pairs = [[region[~np.isnan(region)] for region in pair] for pair in zip(arrays['first'], arrays['second'])]
    report.compare('overlap', [regions.region_overlap(*pair, size) for pair in pairs], arrays['overlap'], atol=1e-12)
    runs = []
    for name in sorted(name.removesuffix('/state') for name in arrays if name.endswith('/state')):
        state = arrays[f'{name}/state']
        frames = zip(arrays[f'{name}/pred_xywh'], arrays[f'{name}/gt'], state)
        overlap = [regions.region_overlap(p, g, size) if what == regions.TRACKED else 0 for p, g, what in frames]
        report.compare(f'{name}/overlap', overlap, arrays[f'{name}/overlap'], atol=1e-12)
        runs.append(vot.SupervisedRun(np.array(overlap), state))
    report.compare('eao_curve', vot.eao_curve(runs), arrays['eao_curve'], atol=1e-6)
    for name, year in (('eao', 'vot2018'), ('eao_46_291', 'vot2019')):
        value = vot.expected_average_overlap(runs, vot.EAO_INTERVALS[year])
        report.compare(name, value, arrays[name], atol=1e-6)
    each = [vot.accuracy_robustness([run]) for run in runs]
    report.compare('accuracy_per_run', [accuracy for accuracy, _ in each], arrays['accuracy_per_run'], atol=1e-12)
    accuracy, robustness = vot.accuracy_robustness(runs)
    report.compare('accuracy', accuracy, arrays['accuracy'], atol=1e-12)
    report.compare('robustness', robustness, arrays['robustness'], atol=1e-12)
    return report


def check_rgbt_metrics(arrays: Arrays) -> Report:
    """PR, NPR and SR of LasHeR, MPR and MSR of RGBT234, from boxes and from corners."""
    report = Report()

    def read(dataset: str, *what: str) -> list[list[np.ndarray]]:
        return [[arrays[f'{dataset}/{name}/{part}'] for part in what] for name in arrays[f'{dataset}/sequences']]

    lasher = [T.lasher_curves(pred, gt) for pred, gt in read('lasher', 'pred_xywh', 'gt_xywh')]
    mean = T.Curves.mean(lasher)
    for name, value, field in (
        ('PR', mean.precision20, 'precision'),
        ('NPR', mean.norm_precision20, 'norm_precision'),
        ('SR', mean.auc, 'success'),
    ):
        _compare_score(report, f'lasher/{name}', value, [getattr(curves, field) for curves in lasher], arrays)
    truths = ('gt_visible_xywh', 'gt_infrared_xywh')
    for suffix, videos in {
        '': read('rgbt234', 'pred_xywh', *truths),
        '_of_corners': [
            (T.boxes_of_corners(corners, inclusive=False), *gt)
            for corners, *gt in read('rgbt234', 'pred_corners_xyxyxyxy', *truths)
        ],
    }.items():
        each = [T.rgbt234_curves(*video) for video in videos]
        mean = T.Curves.mean(each)
        precision, success = ([getattr(curves, field) for curves in each] for field in ('precision', 'success'))
        _compare_score(report, f'rgbt234/MPR{suffix}', mean.precision20, precision, arrays)
        _compare_score(report, f'rgbt234/MSR{suffix}', mean.auc, success, arrays)
    report.compare('thresholds_pixels', T.PIXELS, arrays['thresholds_pixels'])
    report.compare('thresholds_overlap', T.OVERLAPS, arrays['thresholds_overlap'], atol=1e-12)
    return report


def _compare_score(report: Report, name: str, value: float, curves: list[np.ndarray], arrays: Arrays) -> None:
    report.compare(name, value, arrays[name], atol=1e-6)
    report.compare(f'{name}_curve_per_sequence', curves, arrays[f'{name}_curve_per_sequence'], atol=1e-6)


def _check_toolkit(report: Report, arrays: Arrays, prefix: str, each: list[T.Curves]) -> None:
    mean = T.Curves.mean(each)
    for what, value in {
        'success_curve': mean.success,
        'precision_curve': mean.precision,
        'success_score': mean.auc,
        'precision_score': mean.precision20,
        'success_rate': mean.success_at(0.5),
        'normalized_precision_curve': mean.norm_precision,
        'normalized_precision_score': mean.norm_precision.mean(),
        'success_score_per_sequence': [curve.auc for curve in each],
    }.items():
        _compare(report, f'{prefix}/{what}', value, arrays, 1e-9)


def _compare(report: Report, name: str, value: np.ndarray, arrays: Arrays, atol: float) -> None:
    """Compare what is recorded, infinities with infinities."""
    if name in arrays:
        value, expected = (np.nan_to_num(np.asarray(x, float), posinf=1e9) for x in (value, arrays[name]))
        report.compare(name, value, expected, atol=atol)
