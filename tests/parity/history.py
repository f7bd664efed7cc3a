"""Parity of HIPTrack with its authors' implementation."""

import copy
import random
from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor

from mmvidmae import converters
from mmvidmae.datasets.tracking import ClipSampling
from mmvidmae.engine.hooks import AttributeScheduleHook
from mmvidmae.models.trackers import HIPTrack
from mmvidmae.models.trackers.center_head import decode
from mmvidmae.models.trackers.historical_prompt import (
    kept_cells,
    memory_affinity,
    prepare_keys,
    read_memory,
    target_mask,
)
from mmvidmae.registry import MODELS

from .report import Arrays, Report, read_state, tensor

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
START, WARMUP = 20, 80


def check_hiptrack(arrays: Arrays) -> Report:
    """HIPTrack's five frames in both modes and precisions, its losses and gradients, its tracker under two policies,
    masks, memory reading, and the distribution of its training clips."""
    report = Report()
    template, searches = normalize(arrays['template_u8']), normalize(arrays['search_u8']).transpose(0, 1)
    boxes = tensor(arrays['template_anno_xywh']), tensor(arrays['search_anno_xywh'])
    rate = float(arrays['cfg/ce_keep'][0])
    schedule = AttributeScheduleHook('keep_ratio', START, START + WARMUP, 1.0, rate, curve='cosine')
    train_rate = schedule.value_at(int(arrays['train/epoch']))
    report.compare('train/ce_keep_rate', train_rate, arrays['train/ce_keep_rate'], atol=1e-12)

    _check_frames(report, arrays, template, searches, boxes[0], rate)
    double = build(arrays).double().eval()
    with torch.no_grad():
        images = (normalize(arrays[f'{name}_u8'], torch.float64) for name in ('template', 'search'))
        template64, searches64 = images
        maps = double.predict_sequence(template64, searches64.transpose(0, 1), boxes[0].double(), rate)
    for k, frame in enumerate(maps, 1):
        _compare_maps(report, f'eval_float64/f{k}/', arrays, frame, 1e-8)
    _check_loss(report, 'eval', arrays, build(arrays).eval(), (template, searches, boxes[0], rate), boxes[1])
    _check_loss(report, 'train', arrays, build(arrays).train(), (template, searches, boxes[0], train_rate), boxes[1])
    for tag in ('track', 'track_official_policy'):
        _check_track(report, tag, arrays)
    _check_masks(report, arrays)

    key, query = tensor(arrays['readout/memory_key']), tensor(arrays['readout/query_key'])
    prepared = prepare_keys(key)
    report.compare('readout/affinity', memory_affinity(*prepared, query).mT, arrays['readout/affinity'], atol=1e-6)
    read = read_memory(*prepared, tensor(arrays['readout/memory_value']).flatten(2), query)
    out = torch.cat((read, tensor(arrays['readout/query_value'])), dim=1)
    report.compare('readout/out', out, arrays['readout/out'], atol=1e-5)
    for name in ('long', 'short'):
        _check_sampling(report, f'sampling/{name}/', arrays)
    return report


def build(arrays: Arrays, **test_cfg) -> HIPTrack:
    """The model that a file describes."""
    model = MODELS.build(
        dict(
            type='mmvidmae.HIPTrack',
            backbone=dict(type='mmvidmae.OneStreamViT', **encoder(arrays), frame_embed=True),
            head=dict(
                type='mmvidmae.CenterHead',
                channels=int(arrays['cfg/head_channels']),
                loss_weights=[arrays['cfg/loss_weights_giou_l1_focal'][i].item() for i in (2, 0, 1)],
            ),
            prompt=dict(
                type='mmvidmae.HistoricalPrompt',
                key_dims=int(arrays['cfg/key_dim']),
                base_channels=int(arrays['cfg/resnet_width']),
            ),
            **{
                name: arrays[f'cfg/{name}'].item()
                for name in ('template_size', 'search_size', 'template_factor', 'search_factor')
            },
            data_preprocessor=dict(type='mmvidmae.CropPreprocessor', bgr_to_rgb=False),
            test_cfg=test_cfg,
        )
    )
    model.load_state_dict(converters.convert_state_dict(read_state(arrays)).state_dict)
    return model


def encoder(arrays: Arrays) -> dict:
    """Arguments of the encoder that a file describes."""
    return dict(
        arch=dict(
            embed_dims=int(arrays['cfg/embed_dim']),
            num_layers=int(arrays['cfg/depth']),
            num_heads=int(arrays['cfg/heads']),
            feedforward_channels=len(arrays['state/backbone.blocks.0.mlp.fc1.bias']),
        ),
        patch_size=int(arrays['cfg/patch']),
        ce_loc=arrays['cfg/ce_blocks'].tolist(),
        ce_keep_ratio=arrays['cfg/ce_keep'].tolist(),
    )


def normalize(images: np.ndarray, dtype: torch.dtype = torch.float32) -> Tensor:
    """Recorded pictures ``(..., 3, H, W)`` as the network gets them. The constants are in single precision."""
    mean, std = (torch.tensor(values)[:, None, None].to(dtype) for values in (MEAN, STD))
    return (torch.from_numpy(images).to(dtype) / 255 - mean) / std


def noting(function: Callable, calls: list) -> Callable:
    """The function, noting its positional arguments and results."""

    def noted(*args, **options):
        calls.append((args, function(*args, **options)))
        return calls[-1][1]

    return noted


def removed_ids(kept: list[Tensor], num_tokens: int) -> list[Tensor]:
    """Ids that each elimination removed, sorted, ``(N, n)`` each."""
    before, removed = torch.arange(num_tokens).expand(len(kept[0]), -1), []
    for ids in kept:
        rows = [sorted(set(b) - set(k)) for b, k in zip(before.tolist(), ids.tolist())]
        removed.append(torch.tensor(rows, dtype=torch.long))
        before = ids
    return removed


def check_gradients(report: Report, run: str, arrays: Arrays, gradients: Mapping[str, Tensor]) -> None:
    """Compare gradient norms by the authors' names, and the norm of all."""
    names = arrays[f'{run}/grad_names'].tolist()
    norms = np.array([gradients[name].norm().item() for name in names])
    for name, value, expected in (
        ('grad_l2', norms, arrays[f'{run}/grad_l2']),
        ('grad_norm_all', np.sqrt((norms**2).sum()), arrays[f'{run}/grad_norm_all']),
    ):
        share = np.abs(value - expected) / (2e-3 * expected + 1e-5)
        report.add(f'{run}/{name}', share.max(), 1, 'share of 2e-3 rel. + 1e-5')
    report.add(f'{run}/grad_names', len(set(gradients) ^ set(names)), 0, 'names')


def _check_frames(
    report: Report, arrays: Arrays, template: Tensor, searches: Tensor, template_boxes: Tensor, rate: float
) -> None:
    """All intermediate results of the five frames."""
    model, seen = build(arrays).eval(), dict(prompt=[], fused=[], encoded=[])
    prompt, fuse, encode = model.prompt.prompt, model.prompt.fuse, model.prompt.encode
    model.prompt.prompt = noting(prompt, seen['prompt'])
    model.prompt.fuse = noting(fuse, seen['fused'])
    model.prompt.encode = noting(encode, seen['encoded'])
    with torch.no_grad():
        maps = model.predict_sequence(template, searches, template_boxes, rate)
        features = model._encode_sequence(template, searches, rate)
    for k, (frame, feats, (args, value)) in enumerate(zip(maps, features, seen['prompt']), 1):
        run = f'eval/f{k}/'
        _compare_maps(report, run, arrays, frame, 2e-5)
        report.compare(f'{run}prompt', value, arrays[f'{run}prompt'], atol=1e-4)
        report.compare(f'{run}key', args[1], arrays[f'{run}key'], atol=1e-4)
        for layer, ids in zip(model.backbone.ce_keep_ratio, removed_ids(feats.kept, feats.search[0, 0].numel())):
            report.compare(f'{run}removed/block{layer}', ids, np.sort(arrays[f'{run}removed/block{layer}'], axis=1))
        if f'{run}backbone_feat' in arrays:
            tokens = torch.cat([x.flatten(2).mT for x in (feats.template, feats.search)], dim=1)
            expected = arrays[f'{run}backbone_feat']
            report.compare(f'{run}backbone_feat', tokens[: len(expected)], expected, atol=2e-5)
    for what, ((_, mask, _, key), (*_, values)) in zip(('template', 'f1', 'f2', 'f3', 'f4'), seen['encoded']):
        run = f'eval/{what}/'
        report.compare(f'{run}mask', mask, arrays[f'{run}mask'])
        report.compare(f'{run}key', key, arrays[f'{run}key'], atol=1e-4)
        report.compare(f'{run}value', values.unflatten(2, key.shape[2:]), arrays[f'{run}value'], atol=2e-4)
    (_, key, (keys, offset, _)), _ = seen['prompt'][4]
    affinity = memory_affinity(keys, offset, key)[0, :16].mT
    report.compare('eval/f5/affinity_sample0_first16', affinity, arrays['eval/f5/affinity_sample0_first16'], atol=1e-5)
    report.compare('eval/f5/fused', seen['fused'][4][1], arrays['eval/f5/fused'], atol=2e-4)


def _check_loss(report: Report, run: str, arrays: Arrays, model: HIPTrack, inputs: tuple, boxes: Tensor) -> None:
    maps = model.predict_sequence(*inputs)
    for k, frame in enumerate(maps, 1):
        _compare_maps(report, f'{run}/f{k}/', arrays, frame, 2e-5)
    if model.training:
        buffers = converters.mmvidmae_to_hiptrack(model.state_dict())
        for name in arrays:
            if name.startswith('train/bn_after/'):
                report.compare(name, buffers[name.removeprefix('train/bn_after/')], arrays[name], atol=1e-5)
    rtol = 1e-4 if model.training else 1e-5
    weights, rows = model.head.loss_weights, []
    for frame, box in zip(maps, boxes):
        losses = model.head.loss(frame, box)
        parts = [losses[f'loss_{name}'] / weights[f'loss_{name}'] for name in ('giou', 'l1', 'focal')]
        total = sum(value for name, value in losses.items() if name.startswith('loss_'))
        rows.append(torch.stack([*parts, total, losses['iou']]))
    rows = torch.stack(rows)
    name = f'{run}/per_frame_giou_l1_focal_total_iou'
    report.compare(name, rows, arrays[name], atol=1e-7, rtol=rtol)

    # In double precision: a bias before batch normalization has no gradient but rounding errors.
    double = copy.deepcopy(build(arrays)).double().train(model.training)
    template, searches, template_boxes, double.keep_ratio = inputs
    losses = double.loss(*_batch(template.double(), searches.double(), template_boxes.double(), boxes.double()))
    total = sum(value for name, value in losses.items() if name.startswith('loss_'))
    report.compare(f'{run}/total', total, arrays[f'{run}/total'], rtol=rtol)
    report.compare(f'{run}/mean_iou', losses['iou'], arrays[f'{run}/mean_iou'], atol=1e-7, rtol=rtol)
    total.backward()
    trained = {name: value.grad for name, value in double.named_parameters() if value.grad is not None}
    check_gradients(report, run, arrays, converters.mmvidmae_to_hiptrack(trained))


def _batch(template: Tensor, searches: Tensor, template_boxes: Tensor, boxes: Tensor) -> tuple[dict, list]:
    """A batch as the data pipeline gives it."""
    from mmengine.structures import BaseDataElement, InstanceData

    def instances(xywh: Tensor, side: int) -> InstanceData:
        return InstanceData(bboxes=torch.cat((xywh[:, :2], xywh[:, :2] + xywh[:, 2:]), dim=1) * side)

    samples = [
        BaseDataElement(
            gt_instances=instances(z[None], template.shape[2]), search_gt_instances=instances(x, searches.shape[3])
        )
        for z, x in zip(template_boxes, boxes.unbind(1))
    ]
    return dict(img=template, search_img=searches.flatten(0, 1)), samples


def _check_track(report: Report, tag: str, arrays: Arrays) -> None:
    policy = dict(
        memory_interval=int(arrays[f'{tag}/update_interval']), max_memory_frames=int(arrays[f'{tag}/memory_max'])
    )
    tracker, states = build(arrays, **policy).eval(), arrays[f'{tag}/state_xywh']
    frames = arrays['track/frames_rgb'][: len(states)]
    target = tracker.initialize(frames[0], arrays['track/init_box_xywh'].tolist())
    grid, whole = tracker.backbone.grids[1], tag == 'track'
    if whole:
        crop = target.template * torch.tensor(STD)[:, None, None] + torch.tensor(MEAN)[:, None, None]
        report.compare('track/template_crop', 255 * crop[0].permute(1, 2, 0), arrays['track/template_crop'], atol=1.01)
        name = 'track/template_box_normalised_xywh'
        report.compare(name, target.template_box[0], arrays[name], atol=1e-6)
    boxes, memory, windowed, plain, encoded, factors = [target.box], [], [], [], [], []
    maps = {name: [] for name in ('score', 'size', 'offset')}

    locate, encode, crop_of = tracker.head.locate, tracker.prompt.encode, tracker._crop

    def locate_and_note(fused: Tensor, window: Tensor | None = None) -> tuple[Tensor, Tensor]:
        result = locate(fused, window)
        if window is not None:
            found = tracker.head(fused)
            for name, value in found._asdict().items():
                maps[name].append(value[0])
            plain.append(decode(found)[0][0])
            windowed.append(result[0][0])
        return result

    tracker.head.locate = locate_and_note
    tracker.prompt.encode = noting(encode, encoded)
    tracker._crop = noting(crop_of, factors)
    for number, frame in enumerate(frames[1:], 1):
        target, _ = tracker.track(frame, target)
        boxes.append(target.box)
        memory.append(target.bank.frames)
        if whole and number == 1:
            report.compare('track/template_mask', encoded[0][0][1][0], arrays['track/template_mask'])
        if whole and f'track/added/frame{number}/mask' in arrays:
            (_, mask, features, key), (*_, value) = encoded[-1]
            run = f'track/added/frame{number}/'
            report.compare(f'{run}mask', mask[0], arrays[f'{run}mask'])
            report.compare(f'{run}key', key[0], arrays[f'{run}key'], atol=1e-4)
            report.compare(f'{run}value', value[0].unflatten(1, grid), arrays[f'{run}value'], atol=2e-4)
            removed = np.flatnonzero((features[0] == 0).all(0).flatten())
            report.compare(f'{run}removed', removed, np.sort(arrays[f'{run}removed']))
    width = arrays[f'{tag}/memory_frames'].shape[1]
    table = [[*numbers, *[-1] * width][:width] for numbers in memory]
    report.compare(f'{tag}/memory_frames', table, arrays[f'{tag}/memory_frames'])
    report.compare(f'{tag}/state_xywh', boxes, states, atol=0.05)
    for name, value in (('pred_cxcywh_normalised', windowed), ('net_pred_cxcywh', plain)):
        report.compare(f'{tag}/{name}', torch.stack(value), arrays[f'{tag}/{name}'], atol=1e-4)
    if whole:
        for name, value in maps.items():
            report.compare(f'track/{name}_map', torch.stack(value), arrays[f'track/{name}_map'], atol=1e-4)
        report.compare(
            'track/resize_factor', [factor for _, (_, factor) in factors], arrays['track/resize_factor'], atol=1e-6
        )
        keys, _, values = (_oldest_first(part[0], target.bank) for part in target.bank[:3])
        key_dims = len(keys)
        report.compare(
            'track/memory_key_at_end', keys * key_dims**0.5 / 2, arrays['track/memory_key_at_end'], atol=1e-4
        )
        report.compare('track/memory_value_at_end', values, arrays['track/memory_value_at_end'], atol=2e-4)


def _oldest_first(part: Tensor, bank) -> Tensor:
    """Cells of a bank in the order of the frames."""
    slots = part.unflatten(-1, (bank.max_frames, bank.num_cells))
    order = [number % bank.max_frames for number in range(bank.num_stored - len(bank.frames), bank.num_stored)]
    return slots[..., order, :].flatten(-2)


def _check_masks(report: Report, arrays: Arrays) -> None:
    boxes, side = tensor(arrays['masks/boxes_cxcywh']), arrays['masks/out'].shape[-1]
    corners = torch.cat((boxes[:, :2] - boxes[:, 2:] / 2, boxes[:, :2] + boxes[:, 2:] / 2), dim=1) * side
    grid = side // int(arrays['cfg/patch'])
    removed, ids = tensor(arrays['masks/removed']), torch.arange(grid**2).expand(len(boxes), -1)
    kept = []
    for layer in range(removed.shape[1]):
        gone = torch.zeros(len(boxes), grid**2, dtype=torch.bool).scatter(1, removed[:, : layer + 1].flatten(1), True)
        counts = (~gone).sum(1)
        kept.append(ids[~gone].split(counts.tolist()))
    rows = []
    for i in range(len(boxes)):
        cells = kept_cells([layer[i][None] for layer in kept], (grid, grid))
        rows.append(target_mask(corners[i : i + 1], (side, side), cells)[0])
    report.compare('masks/out', torch.stack(rows), arrays['masks/out'])
    report.compare('masks/out_nothing_removed', target_mask(corners, (side, side)), arrays['masks/out_nothing_removed'])
    side = arrays['masks/template_out'].shape[-1]
    x, y, width, height = (tensor(arrays['masks/template_boxes_xywh']) * side).long().unbind(1)
    corners = torch.stack((x, y, x + width, y + height), dim=1)
    report.compare('masks/template_out', target_mask(corners, (side, side)), arrays['masks/template_out'])


def _check_sampling(report: Report, run: str, arrays: Arrays, num_samples: int = 4000) -> None:
    """Counts of 20,000 recorded and of ``num_samples`` own clips, within five standard deviations of their mean."""
    visible, recorded = arrays[f'{run}visible'].astype(bool), 20000
    sampling, state = ClipSampling(), random.getstate()
    random.seed(0)
    clips = np.array([sampling.sample(np.flatnonzero(visible), len(visible)) for _ in range(num_samples)])
    random.setstate(state)
    reverse = clips[:, 0] > clips[:, -1]
    clips[reverse] = clips[reverse, ::-1]
    gaps = np.diff(clips, axis=1)
    width = arrays[f'{run}gap_counts'].shape[1]
    counts = dict(
        first_frame_counts=np.bincount(clips[:, 0], minlength=len(visible)),
        last_frame_counts=np.bincount(clips[:, -1], minlength=len(visible)),
        gap_counts=np.stack([np.bincount(gap, minlength=width) for gap in gaps.T]),
    )
    for name, own in counts.items():
        theirs = arrays[f'{run}{name}']
        both = (own + theirs) / (num_samples + recorded)
        deviation = np.sqrt(both * (1 - both) * (1 / num_samples + 1 / recorded))
        difference = np.abs(own / num_samples - theirs / recorded)
        # an empty cell of one side adds one count: rare frames are no normal distribution
        sigmas = difference / np.maximum(deviation, 1 / num_samples)
        report.add(f'{run}{name}', sigmas.max(), 5, 'standard deviations')
        never = (own == 0) & (theirs >= 50) | (theirs == 0) & (own >= 10)  # that is no chance
        report.add(f'{run}{name}, support', int(never.sum()), 0, 'frames')
    share, expected = reverse.mean(), float(arrays[f'{run}reversed_share'])
    report.add(f'{run}reversed_share', abs(share - expected) / np.sqrt(0.25 / num_samples), 5, 'standard deviations')
    error = np.abs(clips.mean(0) - arrays[f'{run}mean_frames']) / (clips.std(0) / np.sqrt(num_samples) + 1e-9)
    report.add(f'{run}mean_frames', error.max(), 5, 'standard deviations')


def _compare_maps(report: Report, run: str, arrays: Arrays, maps, atol: float) -> None:
    for name, value in maps._asdict().items():
        if f'{run}{name}_map' in arrays:
            report.compare(f'{run}{name}_map', value, arrays[f'{run}{name}_map'], atol=atol)
    report.compare(f'{run}pred_boxes', decode(maps)[0][:, None], arrays[f'{run}pred_boxes'], atol=atol)
