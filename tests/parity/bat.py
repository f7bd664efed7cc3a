"""Parity of BAT with its authors' implementation."""

import numpy as np
import torch
from mmengine.structures import BaseDataElement, InstanceData
from torch import Tensor, nn

from mmvidmae import converters
from mmvidmae.engine.hooks import AttributeScheduleHook
from mmvidmae.models.trackers import BAT, CenterMaps, OneStreamViT, TwoStreamViT
from mmvidmae.models.trackers.center_head import decode

from .history import MEAN, STD, check_gradients, encoder, normalize, removed_ids
from .report import Arrays, Report, read_state, tensor


def check_bat(arrays: Arrays) -> Report:
    """BAT's forward passes with and without elimination, losses and gradients of adapters and of all, its tracker, and
    how its forks are initialized from DropTrack."""
    report = Report()
    images = [_normalize(arrays[f'{name}_u8']) for name in ('template', 'search')]
    cells = tensor(np.stack([np.flatnonzero(mask) for mask in arrays['eval_ce/ce_template_mask']]))
    for run, options in {'eval': (None, 1.0), 'eval_ce': (cells, None), 'eval_ce085': (cells, 0.85)}.items():
        _check_forward(report, run, arrays, images, *options)
    for run, options in {'eval_float64': (None, 1.0), 'eval_ce_float64': (cells, None)}.items():
        double = build(arrays).double().eval()
        with torch.no_grad():
            doubles = [_normalize(arrays[f'{name}_u8'], torch.float64) for name in ('template', 'search')]
            features = double.backbone(*doubles, *options)
        _compare_maps(report, f'{run}/', arrays, double.head(features.search), 1e-8)

    start, warmup = int(arrays['cfg/ce_start_epoch']), int(arrays['cfg/ce_warm_epochs'])
    rate = float(arrays['cfg/ce_keep'][0])
    schedule = AttributeScheduleHook('keep_ratio', start, start + warmup, 1.0, rate, curve='cosine')
    rate = schedule.value_at(int(arrays['loss_adapters_ce/epoch']))
    report.compare('loss_adapters_ce/ce_keep_rate', rate, arrays['loss_adapters_ce/ce_keep_rate'], atol=1e-12)
    for run, keep, adapters_only in (
        ('loss_adapters', 1.0, True),
        ('loss_everything', 1.0, False),
        ('loss_adapters_ce', rate, True),
    ):
        _check_loss(report, run, arrays, images, keep, adapters_only)
    for tag in ('track', 'track_ce'):
        _check_track(report, tag, arrays)
    _check_constructed(report, arrays)
    _check_initialization(report, arrays)
    return report


def build(arrays: Arrays, ce_keep_ratio: list[float] | None = None, **options) -> BAT:
    """The model that a file describes."""
    backbone = encoder(arrays) | ({} if ce_keep_ratio is None else dict(ce_keep_ratio=ce_keep_ratio))
    model = BAT(
        dict(
            type='mmvidmae.TwoStreamViT',
            **backbone,
            frame_embed='state/backbone.temporal_pos_embed_x' in arrays,
            adapter_dims=int(arrays['cfg/adapter_dim']),
            adapter_drop_rate=0.0,
        ),
        head=dict(
            type='mmvidmae.CenterHead',
            channels=int(arrays['cfg/head_channels']),
            loss_weights=[arrays['cfg/loss_weights_giou_l1_focal'][i].item() for i in (2, 0, 1)],
        ),
        **{
            name: arrays[f'cfg/{name}'].item()
            for name in ('template_size', 'search_size', 'template_factor', 'search_factor')
        },
        data_preprocessor=dict(type='mmvidmae.CropPreprocessor', bgr_to_rgb=False),
        **options,
    )
    model.load_state_dict(converters.convert_state_dict(read_state(arrays)).state_dict)
    return model


def _normalize(pairs: np.ndarray, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.cat([normalize(part, dtype) for part in np.split(pairs, 2, axis=1)], dim=1)


def _check_forward(
    report: Report, run: str, arrays: Arrays, images: list[Tensor], cells: Tensor | None, keep_ratio: float | None
) -> None:
    model, adapted = build(arrays).eval(), {}
    for i, layer in enumerate(model.backbone.adapters):
        for part, name in (('attn', 'adap_t'), ('ffn', 'adap2_t')):
            layer[part].register_forward_hook(lambda _, args, out, key=f'block{i}/{name}': adapted.update({key: out}))
    with torch.no_grad():
        streams = model.backbone.encode_streams(*images, cells, keep_ratio, with_template=True)
        summed = model.backbone(*images, cells, keep_ratio)
    _compare_maps(report, f'{run}/', arrays, model.head(summed.search), 2e-5)
    num = len(images[0])
    tokens = [x.flatten(2).mT for x in (streams.template, streams.search)]
    if f'{run}/backbone_feat' in arrays:
        feat = torch.cat(tokens, dim=1)
        report.compare(f'{run}/backbone_feat', feat[:num] + feat[num:], arrays[f'{run}/backbone_feat'], atol=5e-5)
    for first, kind in ((0, 'rgb'), (num, 'tir')):
        name = f'{run}/{kind}_tokens_after_norm'
        if name in arrays:
            left = tokens[1][first, streams.kept[-1][first]] if streams.kept else tokens[1][first]
            report.compare(name, torch.cat((tokens[0][first], left))[None], arrays[name], atol=2e-5)
        kept = [ids[first : first + num] for ids in streams.kept]
        for layer, ids, removed in zip(model.backbone.ce_keep_ratio, kept, removed_ids(kept, tokens[1].shape[1])):
            for what, value in (('kept', ids.sort(1).values), ('removed', removed)):
                name = f'{run}/{kind}_{what}/block{layer}'
                if name in arrays:
                    report.compare(name, value, np.sort(arrays[name], axis=1))
    for key, out in adapted.items():
        for row, direction in ((0, 'tir_to_rgb'), (num, 'rgb_to_tir')):
            name = f'{run}/{key}_of_{direction}'
            if name in arrays:
                report.compare(name, out[row], arrays[name], atol=2e-5)


def _check_loss(
    report: Report, run: str, arrays: Arrays, images: list[Tensor], keep_ratio: float, adapters_only: bool
) -> None:
    model = build(arrays, adapters_only=adapters_only).double().train()
    model.keep_ratio = keep_ratio
    boxes = tensor(arrays['search_anno_xywh']).double()
    corners = torch.cat((boxes[:, :2], boxes[:, :2] + boxes[:, 2:]), dim=1) * images[1].shape[2]
    samples = [BaseDataElement(search_gt_instances=InstanceData(bboxes=box[None])) for box in corners]
    losses = model.loss(dict(img=images[0].double(), search_img=images[1].double()), samples)
    total = sum(value for name, value in losses.items() if name.startswith('loss_'))
    report.compare(f'{run}/total', total, arrays[f'{run}/total'], rtol=2e-5)
    for name in ('giou', 'l1', 'focal'):
        value = losses[f'loss_{name}'] / model.head.loss_weights[f'loss_{name}']
        report.compare(f'{run}/{name}', value, arrays[f'{run}/{name}'], rtol=2e-5)
    report.compare(f'{run}/mean_iou', losses['iou'], arrays[f'{run}/mean_iou'], atol=1e-7, rtol=2e-5)
    total.backward()
    trained = {name: value.grad for name, value in model.named_parameters() if value.grad is not None}
    check_gradients(report, run, arrays, converters.mmvidmae_to_bat(trained))


def _check_track(report: Report, tag: str, arrays: Arrays) -> None:
    keep = arrays['cfg/ce_keep'].tolist()
    tracker = build(arrays, keep if tag == 'track_ce' else [1.0] * len(keep)).eval()
    frames = arrays['track/frames_rgb_tir']
    target = tracker.initialize(frames[0], arrays['track/init_box_xywh'].tolist())
    if tag == 'track':
        mean, std = (torch.tensor(values * 2)[:, None, None] for values in (MEAN, STD))
        crop = 255 * (target.template * std + mean)[0].permute(1, 2, 0)
        report.compare('track/template_crop', crop, arrays['track/template_crop'], atol=1.01)
    boxes, scores, predicted, maps = [target.box], [], [], []
    locate = tracker.head.locate

    def locate_and_note(search: Tensor, window: Tensor) -> tuple[Tensor, Tensor]:
        maps.append(tracker.head(search))
        predicted.append(decode(maps[-1], window)[0][0])
        return locate(search, window)

    tracker.head.locate = locate_and_note
    for frame in frames[1:]:
        target, score = tracker.track(frame, target)
        boxes.append(target.box)
        scores.append(score)
    report.compare(f'{tag}/state_xywh', boxes, arrays[f'{tag}/state_xywh'], atol=0.05)
    report.compare(f'{tag}/best_score', scores, arrays[f'{tag}/best_score'], atol=1e-4)
    name = f'{tag}/pred_cxcywh_normalised'
    report.compare(name, torch.stack(predicted), arrays[name], atol=1e-4)
    for name in CenterMaps._fields:
        if f'{tag}/{name}_map' in arrays:
            value = torch.cat([getattr(found, name) for found in maps])
            report.compare(f'{tag}/{name}_map', value, arrays[f'{tag}/{name}_map'], atol=1e-4)


def _check_constructed(report: Report, arrays: Arrays) -> None:
    """Adapters of a new encoder: the standard deviation of the recorded and of our weights, within five errors."""
    torch.manual_seed(0)
    model = TwoStreamViT(
        **encoder(arrays),
        template_size=int(arrays['cfg/template_size']),
        search_size=int(arrays['cfg/search_size']),
        adapter_dims=int(arrays['cfg/adapter_dim']),
    )
    for part in ('down', 'mid', 'up'):
        layers: list[nn.Linear] = [
            adapter[where].get_submodule(part) for adapter in model.adapters for where in adapter
        ]
        weights = torch.cat([layer.weight.flatten() for layer in layers])
        for name, value in (
            ('recorded', arrays[f'constructed/adapter_{part}_weight_std'].item()),
            ('ours', weights.std().item()),
        ):
            size = weights.numel() if name == 'ours' else layers[0].weight.numel()
            report.add(
                f'constructed/adapter_{part}_weight_std, {name}', abs(value / 0.02 - 1) * (2 * size) ** 0.5, 5, 'errors'
            )
        bias = max(layer.bias.abs().max().item() for layer in layers)
        report.compare(
            f'constructed/adapter_{part}_bias_absmax', bias, arrays[f'constructed/adapter_{part}_bias_absmax']
        )


def _check_initialization(report: Report, arrays: Arrays) -> None:
    """Position embeddings with identities after a DropTrack checkpoint of another size was loaded."""
    given = {name: tensor(arrays[f'droptrack_init/pos_embed_{name}']) for name in 'zx'}
    sides = {name: round(arrays[f'droptrack_init/loaded_pos_embed_{name}'].shape[1] ** 0.5) for name in 'zx'}
    dims, patch = given['x'].shape[2], 4
    width = -(-dims // 4) * 4
    model = OneStreamViT(
        dict(embed_dims=width, num_layers=1, num_heads=1, feedforward_channels=4),
        sides['z'] * patch,
        sides['x'] * patch,
        patch,
        ce_loc=(),
        ce_keep_ratio=(),
        interpolate_mode='bilinear',
    )
    state = model.state_dict()

    def widen(x: Tensor) -> Tensor:
        return nn.functional.pad(x, (0, width - dims))

    state |= {f'pos_embed_{name}': widen(value) for name, value in given.items()}
    identities = [widen(tensor(arrays[f'droptrack_init/temporal_pos_embed_{name}'])) for name in 'xz']
    state['frame_embed'] = torch.stack(identities, dim=1)
    model.load_state_dict(state)
    for role, name in enumerate('zx'):
        size = sides[name] * patch
        bias = model.patch_embed.projection.bias
        value = (model.embed_role(torch.zeros(1, 3, size, size), role) - bias)[..., :dims]
        report.compare(
            f'droptrack_init/loaded_pos_embed_{name}',
            value,
            arrays[f'droptrack_init/loaded_pos_embed_{name}'],
            atol=1e-6,
        )


def _compare_maps(report: Report, run: str, arrays: Arrays, maps: CenterMaps, atol: float) -> None:
    for name, value in maps._asdict().items():
        report.compare(f'{run}{name}_map', value, arrays[f'{run}{name}_map'], atol=atol)
    report.compare(f'{run}pred_boxes', decode(maps)[0][:, None], arrays[f'{run}pred_boxes'], atol=atol)
