"""Parity of Co-Settle with the authors' implementation."""

import numpy as np
import torch
import torch.nn.functional as F
from mmengine.registry import DefaultScope

from mmvidmae import converters
from mmvidmae.datasets import SampleFrames
from mmvidmae.models.selfsup import CoSettle

from .frames import compare_frames
from .pretrain import encoder_config
from .report import Arrays, Report, read_config, read_state, tensor

MAPS = ('1', '2', '1_shifted')


def check_cosettle(arrays: Arrays) -> Report:
    """Frozen and adapted features, shifted positions, transitions, losses, gradient norms, the probe of the adapter's
    epsilon, and the frames drawn from videos."""
    report = Report()
    model = build(arrays)
    frames = torch.stack((tensor(arrays['frame1']), tensor(arrays['frame2'])), dim=1)
    offset = tensor(arrays['offset'], torch.int64)
    report.compare('enlarged', model.enlarged[0], arrays['enlarged'])
    report.compare('shifted_pos_embed', model.shifted_pos_embed(offset), arrays['shifted_pos_embed'], atol=1e-5)

    out = model.forward_pretrain(frames, offset)
    for name, features, adapted in zip(MAPS, out.features, out.adapted):
        report.compare(f'features_{name}', features.flatten(2).mT, arrays[f'features_{name}'], atol=2e-5)
        report.compare(f'adapted_{name}', adapted.flatten(2).mT, arrays[f'adapted_{name}'], atol=2e-5)
    unit = torch.stack([F.normalize(adapted.flatten(2).mT, dim=-1) for adapted in out.adapted], dim=1)
    report.compare('unit', unit, arrays['unit'], atol=2e-6)
    for name, transition in zip(('12', '21'), out.transitions):
        report.compare(f'transition_{name}', transition, arrays[f'transition_{name}'], atol=1e-5)
    report.compare('cycle_loss', out.cycle_loss, arrays['cycle_loss'], rtol=1e-5)
    report.compare('cycle_accuracy', out.accuracy, arrays['cycle_accuracy'])
    report.compare('similarity', out.similarity[None], arrays['similarity'], rtol=1e-5)
    report.compare('reg_loss', out.reg_loss, arrays['reg_loss'], rtol=1e-4)
    report.compare('loss', out.loss, arrays['loss'], rtol=1e-5)
    for prefix, scalar, rtol in (('gradnorm/', out.loss, 1e-4), ('cycle/gradnorm/', out.cycle_loss, 2e-4)):
        params = {name: param for name, param in model.named_parameters() if param.requires_grad}
        grads = torch.autograd.grad(scalar, tuple(params.values()), retain_graph=True)
        grads = converters.mmvidmae_to_cosettle(dict(zip(params, grads)))
        for name in sorted({*grads} | {key.removeprefix(prefix) for key in arrays if key.startswith(prefix)}):
            norm = grads[name].norm() if name in grads else np.inf
            report.compare(prefix + name, norm, arrays.get(prefix + name, np.array(np.nan)), rtol=rtol)

    model.reg = 'mse'
    report.compare('mse/reg_loss', model.forward_pretrain(frames, offset).reg_loss, arrays['mse/reg_loss'], rtol=1e-5)
    with torch.no_grad():
        for param in model.backbone.adapter.linear.parameters():
            param.mul_(2.0 ** int(arrays['probe/log2']))
        probe = model.backbone.adapter(tensor(arrays['features_1']))
    report.compare('probe/out', probe, arrays['probe/out'], atol=2e-4)

    sampler = SampleFrames(gap=(0.15, 0.15), draw_first='gap', first=1, short='independent')
    for row, (num_frames, gap, *start, _, first, _, second) in enumerate(arrays['frames/table']):
        report.compare(f'frames/table[{row}]: gap', sampler._bounds(int(num_frames), None)[0], gap)
        short = [(0, num_frames - 1, frame) for frame in (first, second)]
        draws = short if start[2] < 0 else [start]
        compare_frames(report, f'frames/table[{row}]', sampler, int(num_frames), draws, (first, second))
    return report


def build(arrays: Arrays) -> CoSettle:
    """Build the model that the file describes, with its weights."""
    encoder = dict(type='mmvidmae.PairMAEViT', **encoder_config(read_config(arrays)))
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        model = CoSettle(
            backbone=dict(encoder=encoder),
            temperature=int(arrays['temp_permille']) / 1000,
            reg_weight=int(arrays['lambda_permille']) / 1000,
            shift_ratio=int(arrays['ratio_permille']) / 1000,
        )
    model.load_state_dict(converters.convert_state_dict(read_state(arrays), 'cosettle').state_dict)
    return model
