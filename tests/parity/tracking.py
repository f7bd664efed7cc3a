"""Parity of DropTrack with its authors' implementation.

Each checker reads one kind of reference file, builds what it describes from the file alone and compares everything in
it.
"""

import copy
import math
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmvidmae import converters
from mmvidmae.engine.hooks import AttributeScheduleHook
from mmvidmae.models.trackers import CenterHead, CenterMaps, OneStreamViT, box_cells, template_cells
from mmvidmae.models.trackers.center_head import (
    center_focal_loss,
    cxcywh_to_xyxy,
    decode,
    gaussian_heatmap,
    gaussian_radius,
    generalized_iou,
)
from mmvidmae.structures.boxes import (
    Window,
    box_to_crop,
    box_to_frame,
    clip_box,
    crop_padding,
    crop_side,
    hann_window,
    sample_crop,
)

from .report import Arrays, Report, read_state, tensor

MIN_OVERLAP = 0.7
ELIMINATION_START, ELIMINATION_WARMUP = 20, 50


def check_droptrack(arrays: Arrays) -> Report:
    """DropTrack's forward pass under several keep ratios, in single and double precision, and its losses, gradients and
    normalization statistics in both modes."""
    report = Report()
    model = _build(arrays)
    for name in ('pos_embed_z', 'pos_embed_x'):
        report.compare(f'{name}_resized', _from_pretrained(arrays, model, name), arrays[f'{name}_resized'], atol=1e-6)
    template, search = tensor(arrays['template']), tensor(arrays['search'])
    cells = tensor(np.stack([np.flatnonzero(mask) for mask in arrays['ce_template_mask']]))
    model.eval()
    with torch.no_grad():
        for run, options in {
            'eval': (cells, None),
            'eval_allmask': (None, None),
            'eval_keep085': (cells, 0.85),
            'eval_keep1': (cells, 1.0),
        }.items():
            _check_forward(report, f'{run}/', arrays, model, (template, search, *options), 1e-5, 1e-5)
        _check_forward(
            report,
            'eval_float64/',
            arrays,
            _build(arrays).double().eval(),
            (template.double(), search.double(), cells, None),
            1e-9,
            1e-8,
        )
    boxes = tensor(arrays['search_anno_xywh'])
    target = gaussian_heatmap(boxes, model.backbone.grids[1])
    report.compare('loss/gaussian_target', target, arrays['loss/gaussian_target'], atol=1e-6)

    rate = _keep_ratio(int(arrays['train/epoch']), ELIMINATION_WARMUP, arrays['cfg/ce_keep_ratio'][0].item())
    report.compare('train/ce_keep_rate', rate, arrays['train/ce_keep_rate'], atol=1e-12)
    inputs = (template, search, None if arrays['train/ce_range_all'] else cells, rate)
    for run, training, rtol in (('loss_eval/', False, 1e-5), ('loss_train/', True, 1e-4)):
        _check_loss(report, run, arrays, _build(arrays).train(training), inputs, boxes, rtol)
    return report


def check_droptrack_geometry(arrays: Arrays) -> Report:
    """Targets, losses, template cells, keep ratios, windows, clipping and crops of DropTrack."""
    report = Report()
    for tag in _tags(arrays, 'heatmap_'):
        side = int(arrays[f'{tag}/search_size']) // int(arrays[f'{tag}/stride'])
        boxes = tensor(arrays[f'{tag}/boxes_xywh'])
        cells = boxes * side
        radius = gaussian_radius(cells[:, 2], cells[:, 3], MIN_OVERLAP)
        report.compare(f'{tag}/target', gaussian_heatmap(boxes, (side, side)), arrays[f'{tag}/target'], atol=1e-6)
        report.compare(f'{tag}/radius_float', radius, arrays[f'{tag}/radius_float'], atol=1e-4)
        report.compare(f'{tag}/center_int', (cells[:, :2] + cells[:, 2:] / 2).round(), arrays[f'{tag}/center_int'])
    _check_losses(report, arrays)

    for name in arrays:
        kind, _, grid = name.removeprefix('ce_mask/').rpartition('_')
        if not name.startswith('ce_mask/') or not grid.isdigit():
            continue
        grid = int(grid)
        if kind == 'GT_BOX':
            mask = box_cells(tensor(arrays['ce_mask/template_boxes_xywh']), 16 * grid, grid)
        else:
            mask = torch.zeros(arrays[name].shape, dtype=torch.bool)
            mask[:, template_cells(kind, (grid, grid))] = True
        report.compare(name, mask, arrays[name])
    for name in arrays:
        if name.startswith('keep_rate/warm'):
            warmup, rate = name.removeprefix('keep_rate/warm').split('_r')
            rates = [_keep_ratio(epoch, int(warmup), float(rate)) for epoch in arrays['keep_rate/epoch']]
            report.compare(name, rates, arrays[name], atol=1e-12)
        elif name.startswith('hann/'):
            report.compare(name, hann_window(*arrays[name].shape), arrays[name], atol=1e-6)
        elif name.startswith('clip_box/out_margin'):
            hw, margin = arrays['clip_box/hw'].tolist(), int(name.removeprefix('clip_box/out_margin'))
            boxes = [clip_box(box, hw, margin) for box in arrays['clip_box/in_xywh'].tolist()]
            report.compare(name, boxes, arrays[name], atol=1e-9)
    if 'crop/image_rgb' in arrays:
        _check_crops(report, arrays, arrays['crop/image_rgb'])
    _check_mapping(report, arrays)
    return report


def check_droptrack_track(arrays: Arrays) -> Report:
    """DropTrack's tracker on a video: what it cuts out, predicts and reports, frame by frame from the recorded
    states, and once through.

    Raises:
        ImportError: If mmtrack is missing.
    """
    from mmvidmae.models.trackers import DropTrack

    report = Report()
    config = {
        name: arrays[f'cfg/{name}'].item()
        for name in ('template_size', 'search_size', 'template_factor', 'search_factor')
    }
    tracker = DropTrack(
        dict(type='mmvidmae.OneStreamViT', **_encoder(arrays)),
        dict(type='mmvidmae.CenterHead', channels=int(arrays['cfg/head_channels'])),
        **config,
        ce_template_range=str(arrays['cfg/ce_template_range']),
        data_preprocessor=dict(type='mmvidmae.CropPreprocessor', bgr_to_rgb=False),
    ).eval()
    tracker.load_state_dict(_state(arrays))
    frames, states = arrays['frames_rgb'], arrays['state_xywh']
    box = arrays['init_box_xywh'].tolist()

    _check_crop(report, 'template_', 'template_att_mask', arrays, frames[0], box, **tracker.template_crop)
    mask = torch.zeros(arrays['ce_template_mask'].shape, dtype=torch.bool)
    mask[:, slice(None) if tracker.ce_template_cells is None else tracker.ce_template_cells] = True
    report.compare('ce_template_mask', mask, arrays['ce_template_mask'])

    target = once_through = tracker.initialize(frames[0], box)
    report.compare('state_xywh[0]', target.box, states[0], atol=1e-9)
    boxes, factors, predicted, unclipped = [], [], [], []
    for k, frame in enumerate(frames[1:], 1):
        target = target._replace(box=states[k - 1].tolist())
        crop, factor = _check_crop(
            report, f'f{k}/search_', f'f{k}/att_mask', arrays, frame, target.box, **tracker.search_crop
        )
        search = tracker.data_preprocessor.normalize(torch.from_numpy(crop).permute(2, 0, 1)[None])
        with torch.no_grad():
            maps = tracker.predict_maps(target.template, search)
        _compare_maps(report, f'f{k}/', arrays, maps, 1e-4)
        report.compare(f'f{k}/response', maps.score * tracker.window, arrays[f'f{k}/response'], atol=1e-4)
        decoded = decode(maps, tracker.window)[0][0].tolist()
        predicted.append(decoded)
        unclipped.append(box_to_frame(decoded, target.box, factor, tracker.search_crop['out_size']))
        factors.append(factor)
        boxes.append(tracker.track(frame, target)[0].box)
        once_through, _ = tracker.track(frame, once_through)
    report.compare('resize_factor', factors, arrays['resize_factor'], atol=1e-6)
    report.compare('pred_cxcywh_normalised', predicted, arrays['pred_cxcywh_normalised'], atol=1e-4)
    report.compare('mapped_back_xywh_unclipped', unclipped, arrays['mapped_back_xywh_unclipped'], atol=0.05)
    report.compare('state_xywh[1:]', boxes, states[1:], atol=0.05)
    report.compare('state_xywh[-1], once through', once_through.box, states[-1], atol=0.05)
    return report


def _keep_ratio(epoch: int, warmup: int, final: float) -> float:
    end = ELIMINATION_START + warmup
    return AttributeScheduleHook('keep_ratio', ELIMINATION_START, end, 1.0, final, curve='cosine').value_at(epoch)


def _encoder(arrays: Arrays) -> dict:
    """Arguments of the encoder that a file describes."""
    dims = int(arrays['cfg/embed_dim'])
    hidden = len(arrays['state/backbone.blocks.0.mlp.fc1.bias'])
    return dict(
        arch=dict(
            embed_dims=dims,
            num_layers=int(arrays['cfg/depth']),
            num_heads=int(arrays['cfg/num_heads']),
            feedforward_channels=hidden,
        ),
        template_size=int(arrays['cfg/template_size']),
        search_size=int(arrays['cfg/search_size']),
        patch_size=int(arrays['cfg/patch']),
        frame_embed='state/backbone.temporal_pos_embed_x' in arrays,
        ce_loc=arrays['cfg/ce_loc'].tolist(),
        ce_keep_ratio=arrays['cfg/ce_keep_ratio'].tolist(),
    )


def _build(arrays: Arrays) -> nn.Module:
    backbone = OneStreamViT(**_encoder(arrays))
    head = CenterHead(backbone.embed_dims, int(arrays['cfg/head_channels']))
    model = nn.ModuleDict(dict(backbone=backbone, head=head))
    model.load_state_dict(_state(arrays))
    return model


def _state(arrays: Arrays) -> dict[str, Tensor]:
    """The recorded weights, through the converter."""
    state = read_state(arrays)
    return converters.convert_state_dict(state, 'droptrack').state_dict


def _from_pretrained(arrays: Arrays, model: nn.Module, name: str) -> Tensor:
    """A position embedding of the tracker after a pre-trained encoder was loaded."""
    state = {key: value for key, value in model.backbone.state_dict().items() if not key.startswith('pos_embed_')}
    state['pos_embed'] = tensor(arrays['state/backbone.pos_embed'])[:, 1:]
    backbone = OneStreamViT(**_encoder(arrays))
    backbone.load_state_dict(state)
    return getattr(backbone, name)


def _check_forward(
    report: Report, run: str, arrays: Arrays, model: nn.Module, inputs: tuple, atol: float, feat_atol: float
) -> None:
    backbone, last = model.backbone, {}
    with backbone.layers[-1].ln1.register_forward_pre_hook(lambda _, args: last.update(tokens=args[0])):
        features = backbone(*inputs)
    maps = model.head(features.search)
    _compare_maps(report, run, arrays, maps, atol)
    report.compare(f'{run}pred_boxes', decode(maps)[0][:, None], arrays[f'{run}pred_boxes'], atol=atol)
    if f'{run}backbone_feat' in arrays:
        # our last layer leaves out the template's tokens, which nothing reads
        template = backbone.ln1(backbone.layers[-1](last['tokens']))[:, : math.prod(backbone.grids[0])]
        tokens = torch.cat((template, features.search.flatten(2).mT), dim=1)
        report.compare(f'{run}backbone_feat', tokens, arrays[f'{run}backbone_feat'], atol=feat_atol)
    before = torch.arange(features.search[0, 0].numel()).expand(len(features.search), -1)
    for layer, kept in zip(backbone.ce_keep_ratio, features.kept):
        removed = [sorted(set(b.tolist()) - set(k.tolist())) for b, k in zip(before, kept)]
        before = kept
        for what, ids in (('kept', kept.sort(1).values), ('removed', torch.tensor(removed))):
            if (name := f'{run}{what}/block{layer}') in arrays:
                report.compare(name, ids, np.sort(arrays[name], axis=1))


def _compare_maps(report: Report, run: str, arrays: Arrays, maps: CenterMaps, atol: float) -> None:
    for name, value in maps._asdict().items():
        report.compare(f'{run}{name}_map', value, arrays[f'{run}{name}_map'], atol=atol)


def _check_loss(
    report: Report, run: str, arrays: Arrays, model: nn.Module, inputs: tuple, boxes: Tensor, rtol: float
) -> None:
    maps = model.head(model.backbone(*inputs).search)
    losses = model.head.loss(maps, boxes)
    total = sum(value for name, value in losses.items() if name.startswith('loss_'))
    _compare_maps(report, run, arrays, maps, 1e-5 if run == 'loss_eval/' else 1e-4)
    report.compare(
        f'{run}pred_boxes',
        decode(maps)[0][:, None],
        arrays[f'{run}pred_boxes'],
        atol=1e-5 if run == 'loss_eval/' else 1e-4,
    )
    report.compare(f'{run}total', total, arrays[f'{run}total'], rtol=rtol)
    for name in ('giou', 'l1', 'focal'):
        value = losses[f'loss_{name}'] / model.head.loss_weights[f'loss_{name}']
        report.compare(f'{run}{name}', value, arrays[f'{run}{name}'], rtol=rtol)
    report.compare(f'{run}mean_iou', losses['iou'], arrays[f'{run}mean_iou'], atol=rtol)

    # In double precision: a bias before batch normalization has no gradient but rounding errors.
    double = copy.deepcopy(model).double()
    double.load_state_dict(_state(arrays))
    inputs = [value.double() if torch.is_tensor(value) and value.is_floating_point() else value for value in inputs]
    losses = double.head.loss(double.head(double.backbone(*inputs).search), boxes.double())
    sum(value for name, value in losses.items() if name.startswith('loss_')).backward()
    gradients = converters.mmvidmae_to_droptrack({name: value.grad for name, value in double.named_parameters()})
    expected = arrays[f'{run}grad_l2']
    norms = np.array([gradients[name].norm().item() for name in arrays[f'{run}grad_names']])
    share = np.abs(norms - expected) / (2e-3 * expected + 1e-5)
    report.add(f'{run}grad_l2', share.max(), 1, 'share of 2e-3 rel. + 1e-5')
    if model.training:
        buffers = converters.mmvidmae_to_droptrack(dict(model.named_buffers()))
        for name in arrays:
            if name.startswith('train/bn_after/'):
                report.compare(name, buffers[name.removeprefix('train/bn_after/')], arrays[name], atol=1e-5)


def _check_losses(report: Report, arrays: Arrays) -> None:
    boxes = tensor(arrays['loss/pred_cxcywh']).requires_grad_()
    target = tensor(arrays['loss/gt_xywh'])
    target = torch.cat((target[:, :2], target[:, :2] + target[:, 2:]), dim=1).clamp(0, 1)
    giou, iou = generalized_iou(cxcywh_to_xyxy(boxes), target)
    giou, l1 = (1 - giou).mean(), F.l1_loss(cxcywh_to_xyxy(boxes), target)
    (gradient,) = torch.autograd.grad(2 * giou + 5 * l1, boxes)
    for name, value in (('giou', giou), ('iou', iou), ('l1', l1), ('grad_pred_of_2giou_5l1', gradient)):
        report.compare(f'loss/{name}', value, arrays[f'loss/{name}'], atol=1e-6)

    score, target = tensor(arrays['loss/focal_pred']).requires_grad_(), tensor(arrays['loss/focal_target'])
    focal = center_focal_loss(score, target)
    report.compare('loss/focal', focal, arrays['loss/focal'], rtol=1e-5)
    report.compare('loss/focal_grad', torch.autograd.grad(focal, score)[0], arrays['loss/focal_grad'], rtol=1e-5)
    report.compare('loss/focal_nopos', center_focal_loss(score, target * 0.999), arrays['loss/focal_nopos'], rtol=1e-5)


def _check_crops(report: Report, arrays: Arrays, image: np.ndarray) -> None:
    factors = []
    for i, (box, factor, size) in enumerate(
        zip(*(arrays[f'crop/{name}'].tolist() for name in ('boxes_xywh', 'factor', 'out_size')))
    ):
        _, resize_factor = _check_crop(report, f'crop/{i}/', f'crop/{i}/att_mask', arrays, image, box, factor, size)
        factors.append(resize_factor)
        window = Window.around(box, crop_side(box, factor), image.shape[:2])
        left, right, top, bottom = window.padding
        report.compare(
            f'crop/{i}/unresized_zero_rowcol', [top + bottom, left + right], arrays[f'crop/{i}/unresized_zero_rowcol']
        )
    report.compare('crop/resize_factor', factors, arrays['crop/resize_factor'], atol=1e-12)


def _check_mapping(report: Report, arrays: Arrays) -> None:
    size = int(arrays['to_crop/crop_size'])
    to_crop = partial(box_to_crop, out_size=size)
    boxes = np.stack(
        [*map(to_crop, *(arrays[f'to_crop/{name}'] for name in ('box_in', 'box_extract', 'resize_factor')))]
    )
    report.compare('to_crop/out_pixels', boxes, arrays['to_crop/out_pixels'], atol=1e-5 * size)
    report.compare('to_crop/out_normalised', boxes / size, arrays['to_crop/out_normalised'], atol=1e-5)


def _check_crop(
    report: Report,
    name: str,
    mask: str,
    arrays: Arrays,
    image: np.ndarray,
    box: list[float],
    factor: float,
    out_size: int,
) -> tuple[np.ndarray, float]:
    crop, resize_factor = sample_crop(image, box, factor, out_size)
    report.compare(f'{name}crop', crop, arrays[f'{name}crop'], atol=1)
    report.compare(mask, crop_padding(image.shape[:2], box, factor, out_size), arrays[mask])
    if f'{name}resize_factor' in arrays:
        report.compare(f'{name}resize_factor', resize_factor, arrays[f'{name}resize_factor'], atol=1e-12)
    return crop, resize_factor


def _tags(arrays: Arrays, prefix: str) -> list[str]:
    return sorted({name.split('/')[0] for name in arrays if name.startswith(prefix)})
