"""Parity of DropSeg with its authors' implementation: one file, everything in it."""

import copy

import numpy as np
import torch
from torch import Tensor

from mmvidmae import converters
from mmvidmae.engine.hooks import AttributeScheduleHook
from mmvidmae.models.segmentors import DropSeg, VideoSegmentation, intersection_and_union
from mmvidmae.models.segmentors.video_segmentation import pad_to_multiple

from .report import Arrays, Report, read_state, tensor

SCHEDULE = AttributeScheduleHook('loss_decode.top_share', begin=20000, end=70000, start_value=1.0, end_value=0.15)


def check_dropseg(arrays: Arrays) -> Report:
    """DropSeg's maps, logits and probabilities in single and double precision, its losses at all iterations, gradients,
    and a video of several objects."""
    report = Report()
    model = _build(arrays)
    pairs = torch.stack((tensor(arrays['memory_frames'])[:, 0], tensor(arrays['query_frame'])), dim=1)
    masks = torch.cat([tensor(arrays[f'memory_mask_obj{i}'])[:, 0] for i in (1, 2)], dim=1).float()
    num_objects = arrays['selector'].sum(1).astype(int).tolist()
    report.compare(
        'state/pos_embed_two_frame', _from_pretrained(arrays, model), arrays['state/pos_embed_two_frame'], atol=1e-6
    )
    with torch.no_grad():
        for name, obj in (('obj1', 0), ('obj2', 1)):
            _check_object(report, f'{name}/', arrays, model, pairs, masks[:, obj], 1e-5, 1e-4, every=1)
        logits = model.segment_pairs(pairs, masks, num_objects)
        report.compare('agg_logits', logits, arrays['agg_logits'], atol=1e-3)
        report.compare('prob', logits.softmax(1)[:, 1:], arrays['prob'], atol=1e-4)

        double, inputs = _build(arrays).double(), (pairs.double(), masks.double())
        _check_object(report, 'float64/obj1/', arrays, double, inputs[0], inputs[1][:, 0], 1e-8, 1e-8, every=4)
        prob = double.segment_pairs(*inputs, num_objects).softmax(1)[:, 1:, ::4, ::4]
        report.compare('float64/prob_every4', prob, arrays['float64/prob_every4'], atol=1e-8)
    _check_losses(report, arrays, model, model.segment_pairs(pairs, masks, num_objects), num_objects)
    _check_video(report, arrays, model)
    return report


def _build(arrays: Arrays) -> DropSeg:
    """The model that a file describes, with its weights."""
    state = read_state(arrays)
    arch = dict(
        embed_dims=int(arrays['cfg/embed_dim']),
        num_layers=int(arrays['cfg/depth']),
        num_heads=int(arrays['cfg/num_heads']),
        feedforward_channels=len(state['blocks.0.mlp.fc1.bias']),
    )
    channels = dict(channels=(int(arrays['cfg/ch8']), int(arrays['cfg/ch4'])))
    model = DropSeg(
        dict(arch=arch, img_size=int(arrays['cfg/img_size']), patch_size=int(arrays['cfg/patch'])), channels, channels
    )
    model.load_state_dict(converters.convert_state_dict(state, 'dropseg').state_dict)
    return model.eval()


def _from_pretrained(arrays: Arrays, model: DropSeg) -> Tensor:
    """The position embedding at the size of training after a pre-trained encoder was loaded."""
    backbone = copy.deepcopy(model.backbone)
    state = {key: value for key, value in backbone.state_dict().items() if not key.startswith('mask_embed.')}
    backbone.load_state_dict({**state, 'pos_embed': tensor(arrays['state/pos_embed'])[:, 1:]})
    return _two_frames(arrays, backbone.pos_embed)


def _two_frames(arrays: Arrays, positions: Tensor) -> Tensor:
    """A position embedding as the authors keep it: the class token, memory, query."""
    return torch.cat((tensor(arrays['state/pos_embed'])[:, :1], positions, positions), dim=1)


def _check_object(
    report: Report,
    run: str,
    arrays: Arrays,
    model: DropSeg,
    pairs: Tensor,
    masks: Tensor,
    atol: float,
    logit_atol: float,
    every: int,
) -> None:
    """Maps, logits and probability of one object, as far as they are recorded, the pixels by every so many."""
    query, grid = model.backbone.embed(pairs[:, 1:])
    memory, _ = model.backbone.embed(pairs[:, :1], first=1)
    memory, query = memory[:, 0] + model.backbone.embed_masks(masks), query[:, 0]
    maps = model.neck(model.backbone(memory, query).mT.unflatten(2, grid))
    values = dict(m16=maps[0], m8=maps[1], m4_mean_c=maps[2].mean((2, 3)))
    for name, value in values.items():
        if f'{run}{name}' in arrays:
            report.compare(f'{run}{name}', value, arrays[f'{run}{name}'], atol=atol)
    if f'{run}decoder_logit' in arrays:
        logit = model.decode_head(maps)[:, None, ::every, ::every]
        report.compare(f'{run}decoder_logit', logit, arrays[f'{run}decoder_logit'], atol=logit_atol)
    if f'{run}prob_single' in arrays:
        prob = model.object_prob(memory, query, grid)[:, None]
        report.compare(f'{run}prob_single', prob, arrays[f'{run}prob_single'], atol=atol)


def _check_losses(report: Report, arrays: Arrays, model: DropSeg, logits: Tensor, num_objects: list[int]) -> None:
    target = tensor(arrays['loss/query_class_gt']).long()
    absent = torch.arange(logits.shape[1]) > torch.tensor(num_objects)[:, None]
    choices = logits.masked_fill(absent[..., None, None], -torch.inf)
    iterations = arrays['loss/iterations'].tolist()
    shares = [SCHEDULE.value_at(iteration) for iteration in iterations]
    losses = []
    for model.loss_decode.top_share in shares:
        losses.append(model.loss_decode(choices, target))
    report.compare('loss/total', torch.stack(losses), arrays['loss/total'], rtol=1e-4)
    report.compare('loss/top_p', shares, arrays['loss/top_p'], atol=1e-9)
    onehot = target[:, None] == torch.arange(1, logits.shape[1])[:, None, None]
    counts = intersection_and_union(logits.softmax(1)[:, 1:], onehot)
    for kind, per_object in zip('iu', counts):
        for prefix, count in zip(('', 'sec_'), per_object.sum(0)):
            report.compare(f'loss/iou_{prefix}{kind}', count, arrays[f'loss/iou_{prefix}{kind}'], atol=2)

    losses[iterations.index(45000)].backward()
    gradients = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    norms = {name: float(grad.double().norm()) for name, grad in converters.mmvidmae_to_dropseg(gradients).items()}
    names = arrays['loss/grad_names_it45000'].tolist()
    report.add('loss/grad_names_it45000', norms.keys() != set(names), 0, 'differs')
    report.add('loss/no_grad_names', bool(norms.keys() & set(arrays['loss/no_grad_names'].tolist())), 0, 'differs')
    norms = np.array([norms.get(name, np.nan) for name in names])
    report.compare('loss/grad_l2_it45000', norms, arrays['loss/grad_l2_it45000'], rtol=2e-3)


def _check_video(report: Report, arrays: Arrays, model: DropSeg) -> None:
    frames, labels = tensor(arrays['infer/frames'])[0], tensor(arrays['infer/first_labels'])
    size = tuple(labels.shape)
    padding = pad_to_multiple(size, model.backbone.patch_size)
    report.compare('infer/pad_lrtb', padding, arrays['infer/pad_lrtb'])
    grid = [side // model.backbone.patch_size for side in arrays['infer/prob'].shape[2:]]
    positions = _two_frames(arrays, model.backbone.positions(grid))
    report.compare('infer/pos_embed_two_frame', positions, arrays['infer/pos_embed_two_frame'], atol=1e-6)

    state = VideoSegmentation(model, tuple(arrays['infer/out_size'].tolist()))
    model.data_preprocessor.normalize = lambda frames: frames  # the recorded ones are normalized
    soft, ids = [], []
    for number, frame in enumerate(frames):
        soft.append(state.step_soft(frame, labels if number == 0 else None))
        ids.append(state.decode(soft[-1]))
    report.compare('infer/prob', torch.stack(soft, dim=1), arrays['infer/prob'], atol=1e-4)
    ids, expected = torch.stack(ids).numpy(), arrays['infer/out_labels']
    if ids.shape != expected.shape:
        report.compare('infer/out_labels', ids, expected)
    else:
        report.add('infer/out_labels', (ids != expected).mean(), 1e-3, 'share of pixels that differ')
