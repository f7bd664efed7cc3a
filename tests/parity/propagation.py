"""Parity of label propagation with DINO's and CRW's evaluation code.

Each checker reads one kind of reference file, sizes, options and features included, and compares everything in it.
"""

from dataclasses import replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from mmvidmae.datasets.transforms.video_sequence import long_side_size, short_side_size
from mmvidmae.models.propagation import (
    PROTOCOLS,
    MaskLabels,
    PropagationContext,
    PropagationProtocol,
    propagate_features,
    top_affinities,
    transfer_labels,
)
from mmvidmae.models.propagation.labels import min_max

from .report import Arrays, Report, tensor


class _SoftLabels:
    """Labels of frame 0 that lie on the grid already."""

    def __init__(self, label: Tensor) -> None:
        self.label = label

    def given(self, frame: int, grid: tuple[int, int], device: torch.device) -> Tensor | None:
        return self.label if frame == 0 else None


def check_dino_propagation(arrays: Arrays) -> Report:
    """DINO's ``eval_video_segmentation.py``: single steps, a whole video, windows, rescaling, sizes and
    normalization."""
    report = Report()
    for tag in _tags(arrays, 'feat_context'):
        hw, topk, radius = (arrays[f'{tag}/{name}'] for name in ('hw', 'topk', 'size_mask_neighborhood'))
        hw, radius = tuple(hw.tolist()), int(radius) or None
        if radius is not None:
            _check_window(report, f'{tag}/neighborhood_mask', arrays, hw, radius, 'square')
        query = F.normalize(tensor(arrays[f'{tag}/feat_target']), dim=-1).unflatten(0, hw)
        keys = F.normalize(tensor(arrays[f'{tag}/feat_context']), dim=-1).unflatten(1, hw)
        labels = tensor(arrays[f'{tag}/segs']).permute(0, 2, 3, 1).flatten(0, 2)
        found = top_affinities(query, [keys], int(topk), radius, 'square')
        out = transfer_labels(labels, *found, float(arrays[f'{tag}/temperature']))
        report.compare(f'{tag}/out', out.T.unflatten(1, hw), arrays[f'{tag}/out'], atol=1e-5)

    protocol = replace(
        PROTOCOLS['dino'],
        topk=int(arrays['video/topk']),
        queue=int(arrays['video/n_last_frames']),
        radius=int(arrays['video/size_mask_neighborhood']) or None,
    )
    hw, patch = tuple(arrays['video/hw'].tolist()), int(arrays['video/patch'])
    mask = tensor(arrays['video/first_mask_full'])
    labels = MaskLabels({0: mask}, (hw[0] * patch, hw[1] * patch), tuple(mask.shape), protocol)
    onehot = arrays['video/first_seg_onehot']
    # the reference has a channel for each id up to the largest that is left on the grid
    channels = [labels.ids.tolist().index(i) if i in labels.ids else None for i in range(len(onehot))]

    def as_recorded(soft: Tensor) -> Tensor:
        return torch.stack([torch.zeros(hw) if channel is None else soft[channel] for channel in channels])

    report.compare('video/first_seg_onehot', as_recorded(labels.given(0, hw, 'cpu')), onehot)
    features = _unit(arrays['video/features'], hw)
    soft = [soft for _, soft in propagate_features(features, labels, protocol)]
    report.compare(
        'video/soft_predictions',
        torch.stack([as_recorded(s) for s in soft[1:]]),
        arrays['video/soft_predictions'],
        1e-4,
    )
    masks = torch.stack([labels.decode(frame, s) for frame, s in enumerate(soft)])
    _compare_masks(report, 'video/saved_masks', masks, arrays['video/saved_masks'])

    rescaled, expected = min_max(tensor(arrays['norm_mask/in']), dim=(1, 2)), arrays['norm_mask/out']
    nan = np.isnan(expected)
    report.add('norm_mask/out: NaN', not np.array_equal(rescaled.isnan().numpy(), nan), 0, 'differs')
    report.compare('norm_mask/out', rescaled.nan_to_num(), np.where(nan, 0, expected), atol=1e-6)
    enlarged = F.interpolate(tensor(arrays['norm_mask/in'])[None], scale_factor=8, mode='bilinear')[0]
    report.compare('upsample8/out', enlarged, arrays['upsample8/out'], atol=1e-6)
    for height, width, *resized in arrays['read_frame/ori_hw_to_resized_hw'].tolist():
        name = f'read_frame/ori_hw_to_resized_hw {height} x {width}'
        report.compare(name, np.array(short_side_size((height, width), 480, 64)), np.array(resized))
    return report


def check_crw_propagation(arrays: Arrays) -> Report:
    """CropMAE's fork of CRW: predictions and weights of whole videos, windows, the context, masks and sizes."""
    report = Report()
    for tag in _tags(arrays, 'features'):
        hw = tuple(arrays[f'{tag}/hw'].tolist()) if f'{tag}/hw' in arrays else arrays[f'{tag}/label0_grid'].shape[:2]
        normed = f'{tag}/norm_mask' in arrays and bool(arrays[f'{tag}/norm_mask'])
        protocol = replace(
            PROTOCOLS['cropmae'],
            topk=int(arrays[f'{tag}/topk']),
            queue=int(arrays[f'{tag}/video_len']),
            radius=int(arrays[f'{tag}/radius']),
            temperature=float(arrays[f'{tag}/temperature']),
            output_norm='pixel' if normed else None,
        )
        features = _unit(arrays[f'{tag}/features'], hw)
        if f'{tag}/first_mask_full' in arrays:
            mask = tensor(arrays[f'{tag}/first_mask_full'])
            ids = arrays[f'{tag}/class_ids_in_channel_order'].tolist()
            labels = MaskLabels(
                {0: mask}, tuple(arrays[f'{tag}/input_size'].tolist()), tuple(mask.shape), protocol, ids
            )
            given = labels.given(0, hw, 'cpu').permute(1, 2, 0)
            report.compare(f'{tag}/label0_grid', given, arrays[f'{tag}/label0_grid'], atol=1e-6)
        else:
            labels = _SoftLabels(tensor(arrays[f'{tag}/label0']).permute(2, 0, 1))
        soft = [soft for _, soft in propagate_features(features, labels, protocol)]
        pred = torch.stack(soft).permute(0, 2, 3, 1)
        report.compare(f'{tag}/pred', pred, arrays[f'{tag}/pred'], atol=1e-5)
        if f'{tag}/saved_masks' in arrays:
            masks = torch.stack([labels.decode(frame, s) for frame, s in enumerate(soft)])
            _compare_masks(report, f'{tag}/saved_masks', masks, arrays[f'{tag}/saved_masks'])
        if f'{tag}/weights' in arrays:
            report.compare(f'{tag}/weights', _crw_weights(features, protocol), arrays[f'{tag}/weights'], atol=1e-5)
        if f'{tag}/radius_mask' in arrays:
            _check_window(report, f'{tag}/radius_mask', arrays, hw, protocol.radius, 'disk')

    for name in (key for key in arrays if key.startswith('disk_mask/')):
        radius, size = name.removeprefix('disk_mask/R').split('_')
        _check_window(report, name, arrays, tuple(map(int, size.split('x'))), int(radius), 'disk')
    # the long memory of every published number is frame 0 alone; CRW's option for more of it has no counterpart here
    for name in (key for key in arrays if key.startswith('context_index/') and key.endswith('_mem0')):
        _check_context(report, name, arrays[name])
    for height, width, *resized in arrays['resize_rule_880/ori_hw_to_resized_hw'].tolist():
        name = f'resize_rule_880/ori_hw_to_resized_hw {height} x {width}'
        report.compare(name, np.array(long_side_size((height, width), 880, 64)), np.array(resized))
    return report


def _tags(arrays: Arrays, suffix: str) -> list[str]:
    """The groups that hold an array of this name; ``video`` is checked as a whole."""
    return [tag for tag, _, name in (key.partition('/') for key in arrays) if name == suffix and tag != 'video']


def _unit(features: np.ndarray, hw: tuple[int, int]) -> Tensor:
    """``(T, hw, C)`` to ``(T, C, h, w)`` of unit length."""
    return F.normalize(tensor(features), dim=-1).mT.unflatten(2, hw)


def _compare_masks(report: Report, name: str, masks: Tensor, expected: np.ndarray) -> None:
    if masks.shape != expected.shape:
        report.compare(name, masks, expected)
        return
    report.add(name, (masks.numpy() != expected).mean(), 1e-3, 'share of pixels that differ')


def _check_window(
    report: Report, name: str, arrays: Arrays, hw: tuple[int, int], radius: float | None, window: str
) -> None:
    """Which keys each query finds, among orthogonal features that make every similarity 0."""
    cells = hw[0] * hw[1]
    values, index = top_affinities(torch.zeros(*hw, 1), [torch.zeros(1, *hw, 1)], cells, radius, window)
    found = torch.zeros(cells, cells).scatter_(1, index, values.isfinite().float())
    report.compare(name, found.reshape(arrays[name].shape), arrays[name])


def _crw_weights(features: Tensor, protocol: PropagationProtocol) -> Tensor:
    """Weights ``(T, topk, hw)`` of every frame; frame 0 is compared with its own copies."""
    cells = features.permute(0, 2, 3, 1).contiguous()
    label = torch.zeros(cells.shape[1] * cells.shape[2], 1)
    context = PropagationContext(protocol, cells[0], label)
    weights = []
    for frame, query in enumerate(cells):
        affinities, _ = context.nearest(query)
        weights.append((affinities / protocol.temperature).softmax(-1).T)
        if frame:
            context.push(query, label)
    return torch.stack(weights)


def _check_context(report: Report, name: str, expected: np.ndarray) -> None:
    """Which frames are in the context, recorded as indices into the video behind ``L`` copies of its frame 0."""
    length = int(name.partition('/L')[2].partition('_')[0])
    protocol = replace(PROTOCOLS['cropmae'], queue=length)
    features = torch.arange(float(len(expected))).view(-1, 1, 1, 1)
    label = torch.zeros(1, 1)
    context = PropagationContext(protocol, features[0], label)
    seen = []
    for frame, feature in enumerate(features):
        seen.append(torch.cat(context.features()).flatten())
        if frame:
            context.push(feature, label)
    report.compare(name, torch.stack(seen), np.maximum(expected - length, 0))
