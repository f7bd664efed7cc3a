"""Parity of T-CoRe with the authors' implementation: one whole training step."""

from copy import deepcopy

import numpy as np
import torch
from mmengine.optim import build_optim_wrapper
from mmengine.registry import PARAM_SCHEDULERS, DefaultScope
from torch import Tensor, nn

from mmvidmae import converters
from mmvidmae.datasets import SampleFrames
from mmvidmae.datasets.transforms.geometry import center_box
from mmvidmae.engine.hooks import TeacherHook
from mmvidmae.models.layers import attention_weights
from mmvidmae.models.masking import BlockMasking
from mmvidmae.models.selfsup import TCoRe

from .frames import compare_frames
from .report import Arrays, Report, read_config, tensor

TOKENS, PROBS = 2e-5, 1e-5
EVERY = 5  # iterations between two stored values of a schedule


def check_tcore(arrays: Arrays) -> Report:
    """T-CoRe's step: teacher, student, decoder, losses, gradient norms, optimizer, moving average, centers, schedules,
    block masks, frame draws and crop boxes."""
    report = Report()
    model = _build(arrays)
    frames = torch.stack([_clips(arrays[f'{name}_global'], 2) for name in ('past', 'current', 'future')], dim=1)
    local_crops = _clips(arrays['current_local'], int(arrays['cfg/local_crops']))
    hidden = tensor(arrays['mask/mask'], torch.bool)
    report.compare('mask/indices', hidden.flatten().nonzero().flatten(), arrays['mask/indices'])

    out = model.forward_pretrain(frames, local_crops, hidden)
    _compare_forward(report, model, out, arrays)
    _compare_probe(report, model, arrays)
    model.zero_grad()
    out.loss.backward()
    _compare_gradients(report, model, arrays)
    _compare_step(report, model, out, arrays)
    _compare_schedules(report, arrays)
    _compare_blocks(report, arrays)
    _compare_data(report, arrays)
    return report


def _build(arrays: Arrays) -> TCoRe:
    cfg = read_config(arrays)
    weight = {key: int(arrays[f'weight/{key}_permille']) / 1000 for key in ('past', 'future', 'mse', 'koleo')}
    dims = cfg['embed_dim']
    arch = dict(
        embed_dims=dims,
        num_layers=cfg['depth'],
        num_heads=cfg['num_heads'],
        feedforward_channels=cfg['mlp_ratio'] * dims,
    )
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        model = TCoRe(
            backbone=dict(
                arch=arch,
                img_size=cfg['img_size'],
                patch_size=cfg['patch'],
                num_registers=cfg['registers'],
                drop_path_rate=0.0,
            ),
            neck=dict(num_heads=cfg['aux_heads'], cross_weight=cfg['attn_mul'], depth=_depth(arrays)),
            head=dict(
                num_prototypes=cfg['prototypes'],
                hidden_dims=cfg['head_hidden'],
                bottleneck_dims=cfg['head_bottleneck'],
                num_fcs=cfg['head_layers'],
            ),
            branches=(
                dict(memory=(0,), weight=weight['past'], name='past'),
                dict(memory=(2,), weight=weight['future'], name='future'),
            ),
            losses=(
                dict(type='mmvidmae.ClassPrototypeLoss'),
                dict(type='mmvidmae.PatchPrototypeLoss'),
                dict(type='mmvidmae.BranchDifferenceLoss', weight=weight['mse']),
                dict(type='mmvidmae.KoLeoLoss', weight=weight['koleo']),
            ),
        )
    theirs = {
        key.replace('/', '.', 1): tensor(arrays[key])
        for key in arrays
        if key.startswith(('student/', 'teacher/', 'auxiliary/'))
    }
    theirs['dino_loss.center'] = tensor(arrays['center/dino'])
    theirs['ibot_patch_loss.center'] = tensor(arrays['center/ibot'])
    model.load_state_dict(converters.convert_state_dict(theirs, 'tcore').state_dict)
    model.teacher.temperature = float(arrays['opt/teacher_temp'])
    return model.train()


def _depth(arrays: Arrays) -> int:
    prefix = 'auxiliary/auxiliary_decoder.decoder.'
    return 1 + max(int(key.removeprefix(prefix).partition('.')[0]) for key in arrays if key.startswith(prefix))


def _clips(crops: np.ndarray, views: int) -> Tensor:
    """Crops ``(views N, 3, H, W)``, crop-major, to ``(N, views, 3, H, W)``."""
    return tensor(crops).unflatten(0, (views, -1)).transpose(0, 1)


def _compare_forward(report: Report, model: TCoRe, out, arrays: Arrays) -> None:
    preds, targets = out.predictions, out.targets
    report.compare('mask/weight', preds.patch_weights, arrays['mask/weight'], rtol=1e-6)
    report.compare('teacher_cls', targets.cls_tokens, arrays['teacher_cls'], atol=TOKENS)
    report.compare('teacher_patches', targets.patch_tokens, arrays['teacher_patches'], atol=TOKENS)
    swapped = preds.cls_targets.flip(0).flatten(0, 1)
    report.compare('teacher_cls_probs', swapped, arrays['teacher_cls_probs'], atol=PROBS)
    report.compare('teacher_patch_probs', targets.patch_probs, arrays['teacher_patch_probs'], atol=PROBS)
    report.compare('student_patches', out.patches, arrays['student_patches'], atol=TOKENS)
    report.compare('student_cls_global', out.cls_global, arrays['student_cls_global'], atol=TOKENS)
    report.compare('student_cls_local', out.cls_local, arrays['student_cls_local'], atol=TOKENS)
    for name in ('past', 'future'):
        report.compare(f'aux_{name}', out.memory[name], arrays[f'aux_{name}'], atol=TOKENS)
        report.compare(f'decoded_{name}', out.decoded[name], arrays[f'decoded_{name}'], atol=TOKENS)
        report.compare(f'logits_{name}', preds.patches[name], arrays[f'logits_{name}'], atol=PROBS)
    report.compare('logits_cls_local', preds.cls_local.flatten(0, 1), arrays['logits_cls_local'], atol=PROBS)
    report.compare('logits_cls_global', preds.cls_global.flatten(0, 1), arrays['logits_cls_global'], atol=PROBS)
    weights = attention_weights(model.neck.decoder_blocks[0].cross_attn, out.patches, out.memory['past']).mean(1)
    report.compare('cross_weights_past', weights, arrays['cross_weights_past'], atol=PROBS)

    logged = {
        'loss_dino_local': out.losses['loss_local'],
        'loss_dino_global': out.losses['loss_global'],
        'loss_koleo': out.losses['loss_koleo'] / 2,
        'loss_past': out.losses['loss_past'] / 2 / (int(arrays['weight/past_permille']) / 1000),
        'loss_future': out.losses['loss_future'] / 2 / (int(arrays['weight/future_permille']) / 1000),
        'loss_mse': out.losses['loss_difference'] / 2 / (int(arrays['weight/mse_permille']) / 1000),
        'loss': out.loss,
    }
    for name, value in logged.items():
        report.compare(name, value, arrays[name], rtol=2e-5 if name == 'loss_koleo' else 1e-5)


def _compare_probe(report: Report, model: TCoRe, arrays: Arrays) -> None:
    """The decoder with tiny cross-attention and queries, which shows the epsilon of its layer norms."""
    scale = 2.0 ** int(arrays['probe/log2'])
    decoder = deepcopy(model.neck)
    with torch.no_grad():
        for block in decoder.decoder_blocks:
            for parameter in block.cross_attn.parameters():
                parameter.mul_(scale)
        out = decoder(tensor(arrays['student_patches']) * scale, tensor(arrays['aux_past']))
    report.compare('probe/out', out, arrays['probe/out'], atol=TOKENS)


def _compare_gradients(report: Report, model: TCoRe, arrays: Arrays) -> None:
    grads = {name: parameter.grad for name, parameter in model.named_parameters() if parameter.requires_grad}
    found = converters.mmvidmae_to_tcore(grads)
    expected = {key.removeprefix('gradnorm/') for key in arrays if key.startswith('gradnorm/')}
    if unmatched := expected.symmetric_difference(found):
        report.add(f'gradnorm/: without a counterpart: {", ".join(sorted(unmatched))}', np.inf, 0, 'abs')
    for name in sorted(expected & found.keys()):
        _compare_close(report, f'gradnorm/{name}', found[name].norm(), arrays, rtol=2e-4, atol=2e-6)


def _compare_close(report: Report, name: str, value: Tensor, arrays: Arrays, rtol: float, atol: float) -> None:
    """Compare within ``atol + rtol |expected|``."""
    expected = arrays[name].astype(np.float64)
    difference = np.abs(value.detach().double().numpy() - expected)
    report.add(name, (difference / (atol + rtol * np.abs(expected))).max(), 1, f'share of {atol:g} + {rtol:g} rel')


def _compare_step(report: Report, model: TCoRe, out, arrays: Arrays) -> None:
    """One step of the optimizer, the moving average and the centers."""
    opt = {key.removeprefix('opt/'): float(arrays[key]) for key in arrays if key.startswith('opt/')}
    before = converters.mmvidmae_to_tcore({key: value.clone() for key, value in model.state_dict().items()})
    optim_wrapper = build_optim_wrapper(
        model,
        dict(
            constructor='mmvidmae.PartwiseOptimWrapperConstructor',
            optimizer=dict(type='AdamW', lr=opt['lr'], weight_decay=opt['wd'], betas=(0.9, 0.999)),
            paramwise_cfg=dict(
                layer_decay_rate=0.9,
                lr_mults={'backbone.patch_embed': 0.2, 'neck': opt['aux_lr'] / opt['lr']},
                flat_decay_mult=0,
                clip_norm=opt['clip'],
            ),
        ),
    )
    for group in optim_wrapper.param_groups:
        if group.get('last_layer'):
            group['lr'] = opt['last_layer_lr']
    optim_wrapper.step()
    model.update_teacher(opt['momentum'])
    model.teacher.update_centers(out.targets)
    after = converters.mmvidmae_to_tcore(model.state_dict())
    # The gradient of a key's bias is zero but for rounding. AdamW divides by its size: the step has any sign.
    rounding = 2 * opt['lr'] * (1 - opt['momentum'])
    for key in arrays:
        kind, _, name = key.removeprefix('ema/').partition('/')
        if not key.startswith('ema/'):
            continue
        value = after[f'teacher.{name}']
        if kind == 'norm':
            report.compare(key, value.norm(), arrays[key], rtol=1e-6)
        elif kind == 'moved':
            _compare_close(report, key, (value - before[f'teacher.{name}']).norm(), arrays, rtol=1e-3, atol=1e-7)
        elif name.endswith('qkv.bias'):
            for part, ours, theirs in zip(('query', 'key', 'value'), value.chunk(3), np.split(arrays[key], 3)):
                report.compare(f'{key}/{part}', ours, theirs, atol=rounding if part == 'key' else 1e-6)
        else:
            report.compare(key, value, arrays[key], atol=1e-6)
    report.compare('center_after/dino', after['dino_loss.center'], arrays['center_after/dino'], atol=1e-6)
    report.compare('center_after/ibot', after['ibot_patch_loss.center'], arrays['center_after/ibot'], atol=1e-6)


def _compare_schedules(report: Report, arrays: Arrays) -> None:
    """Schedules as MMEngine's and our schedulers and the hook make them, between the recorded first, largest and last
    values."""
    recorded = {name: arrays[f'schedule/{name}'].tolist() for name in ('lr', 'wd', 'momentum', 'teacher_temp')}
    lr, wd, momentum, temperature = recorded.values()
    peak = max(lr)
    steps, warmup, rise = (EVERY * count for count in (len(lr) - 1, lr.index(peak), temperature.index(temperature[-1])))
    optim_wrapper = build_optim_wrapper(nn.Linear(1, 1), dict(optimizer=dict(type='SGD', lr=peak, weight_decay=wd[0])))
    ratio = dict(lr=lr[-1] / peak, wd=wd[-1] / wd[0])
    schedulers = [
        PARAM_SCHEDULERS.build(dict(config, by_epoch=False, optimizer=optim_wrapper.optimizer))
        for config in (
            dict(type='mmvidmae.LinearLR', start_factor=0.0, begin=0, end=warmup),
            dict(type='CosineAnnealingLR', eta_min_ratio=ratio['lr'], begin=warmup, T_max=steps - warmup),
            dict(
                type='CosineAnnealingParamScheduler',
                param_name='weight_decay',
                eta_min_ratio=ratio['wd'],
                T_max=steps,
            ),
        )
    ]
    found: dict[str, list[float]] = dict(lr=[], wd=[], momentum=[], teacher_temp=[])
    (group,) = optim_wrapper.param_groups
    hook = TeacherHook(momentum[0], momentum[-1], temperature[0], temperature[-1], temperature_epochs=rise)
    for step in range(steps + 1):
        if step % EVERY == 0:
            found['lr'].append(group['lr'])
            found['wd'].append(group['weight_decay'])
            found['momentum'].append(hook.momentum_schedule(steps).value_at(step))
            found['teacher_temp'].append(hook.temperature_schedule(1).value_at(step))
        optim_wrapper.step()
        for scheduler in schedulers:
            scheduler.step()
    for name, values in found.items():
        report.compare(f'schedule/{name}', np.array(values), arrays[f'schedule/{name}'], rtol=1e-6)


class _Replay:
    """Given draws in the place of a generator."""

    def __init__(self, draws: np.ndarray) -> None:
        self._draws = iter(draws[draws != -99].tolist())

    def uniform(self, low: float, high: float) -> float:
        return next(self._draws)

    def integers(self, low: int, high: int) -> int:
        return int(next(self._draws))


def _compare_blocks(report: Report, arrays: Arrays) -> None:
    masks = arrays['blockmask/mask']
    found = [
        BlockMasking().draw_blocks(int(count), masks.shape[1:], _Replay(draws))
        for count, draws in zip(arrays['blockmask/count'], arrays['blockmask/draws'])
    ]
    report.compare('blockmask/mask', np.stack(found), masks)


def _compare_data(report: Report, arrays: Arrays) -> None:
    """Frames of the sampler, given the draws, and boxes of past and future frames."""
    sampler = SampleFrames(gap=(0.15, 0.25), draw_first='middle', middle=(0.3, 0.7), num_frames=3, short='same')
    for i, (num_frames, *numbers) in enumerate(arrays['frames/table']):
        draws, expected = np.reshape(numbers[:9], (3, 3)), np.array(numbers[9:])
        compare_frames(report, f'frames/table[{i}]', sampler, int(num_frames), draws, expected)
    boxes = [center_box(int(height), int(width), (3 / 4, 4 / 3)) for height, width, *_ in arrays['crop/center_box']]
    report.compare('crop/center_box', np.array(boxes), arrays['crop/center_box'][:, 2:])
