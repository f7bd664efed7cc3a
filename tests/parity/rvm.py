"""Parity of RVM with the authors' implementation."""

import numpy as np
import torch
from mmengine.registry import DefaultScope
from torch import Tensor

from mmvidmae import converters
from mmvidmae.models.selfsup import RVM

from .report import Arrays, Report, read_config, read_state, tensor

GRAD_RTOL, GRAD_ATOL = 2e-4, 5e-5
HEADS = {'encoder': 'num_heads', 'rnn_core': 'core_heads', 'decoder': 'decoder_heads'}


def check_rvm(arrays: Arrays) -> Report:
    """Encoder, recurrent core, decoder, gradient norms, and features that continue from a given state."""
    report = Report()
    model = build(arrays)
    source, target = (tensor(arrays[name]).movedim(-1, 2) for name in ('source', 'target'))
    num_sources, num_targets = source.shape[1], target.shape[1]
    frames = torch.cat((source, target), dim=1)
    grid = model.backbone.patch_resolution
    offsets = torch.cat((torch.zeros(len(frames), num_sources), tensor(arrays['deltas'])), dim=1).long()
    ranks = tensor(arrays['order'], torch.int64).argsort(dim=2) / arrays['order'].shape[2]
    noise = torch.cat((torch.zeros(len(frames), num_sources * grid[0] * grid[1]), ranks.flatten(1)), dim=1)

    encoded: list[Tensor] = []
    updates: list[Tensor] = []
    blocks: list[Tensor] = []
    hooks = [
        module.register_forward_hook(lambda _, args, output, seen=seen: seen.append(output))
        for module, seen in (
            (model.backbone.ln1, encoded),
            (model.backbone.core.ln1, updates),
            (model.neck.decoder_blocks[0], blocks),
        )
    ]
    out = model.forward_pretrain(frames, noise, offsets=offsets)
    for hook in hooks:
        hook.remove()
    features = torch.stack(out.latent[:num_sources], dim=1)
    sources = torch.stack(encoded[:num_sources], dim=1).flatten(0, 1)
    targets = torch.stack(out.latent[num_sources:], dim=1).flatten(0, 1)
    report.compare('encoder_source', sources, arrays['encoder_source'], atol=2e-5)
    report.compare('encoder_target', targets, arrays['encoder_target'], atol=2e-5)
    report.compare('core_updates', torch.stack(updates, dim=1), arrays['core_updates'], atol=2e-5)
    report.compare('features', features, arrays['features'], atol=2e-5)
    report.compare('state', features[:, -1], arrays['state'], atol=2e-5)
    report.compare('decoder_block0_out', torch.stack(blocks, dim=1), arrays['decoder_block0_out'], atol=2e-5)
    mask = out.mask.unflatten(1, (num_sources + num_targets, *grid))[:, num_sources:, ..., None]
    report.compare('mask', mask, arrays['mask'])
    pictures = model.head.unpatchify(torch.cat(out.preds, dim=1), grid).movedim(2, -1)
    report.compare('reconstructed', pictures, arrays['reconstructed'], atol=2e-5)
    scalar = (pictures * tensor(arrays['cotangent'])).sum()
    report.compare('scalar', scalar, arrays['scalar'], rtol=1e-4)
    _compare_gradients(report, model, scalar, arrays)

    states = []
    for i, state in enumerate(tensor(arrays['resumed/state'])):
        features, _ = model.backbone.forward_video(source[i], state[None])
        states.append(features)
    resumed = torch.stack(states)[:, :, ::4]
    report.compare('resumed/features', resumed, arrays['resumed/features'], atol=2e-5)
    return report


def build(arrays: Arrays) -> RVM:
    """Build the model that the file describes, with its weights."""
    cfg = read_config(arrays)
    num_sources, num_targets = arrays['source'].shape[1], arrays['target'].shape[1]
    arch = dict(
        embed_dims=cfg['embed_dim'],
        num_layers=cfg['depth'],
        num_heads=cfg['num_heads'],
        feedforward_channels=cfg['mlp'],
    )
    core = dict(depth=cfg['core_depth'], num_heads=cfg['core_heads'], feedforward_channels=cfg['core_mlp'])
    branches = [
        dict(targets=(num_sources + i,), memory=range(num_sources), name=f'target{i}') for i in range(num_targets)
    ]
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        model = RVM(
            num_frames=num_sources + num_targets,
            backbone=dict(
                arch=arch,
                img_size=cfg['grid'] * cfg['patch'],
                patch_size=cfg['patch'],
                out_type='raw',
                num_sources=num_sources,
                core=core,
            ),
            masking=dict(mask_ratio=(0.0,) * num_sources + (int(arrays['mask_permille']) / 1000,) * num_targets),
            neck=dict(
                decoder_dims=cfg['decoder_dim'],
                depth=cfg['decoder_depth'],
                num_heads=cfg['decoder_heads'],
                feedforward_channels=cfg['decoder_mlp'],
                num_offsets=len(arrays['state/delta_embedder/kernel']),
                branches=branches,
            ),
        )
    state = read_state(arrays)
    model.load_state_dict(converters.convert_state_dict(state, 'rvm').state_dict)
    return model.eval()


def _compare_gradients(report: Report, model: RVM, scalar: Tensor, arrays: Arrays) -> None:
    """Norm of the gradient by each of the authors' parameters, as a share of both tolerances."""
    params = {name: param for name, param in model.named_parameters() if param.requires_grad}
    grads = dict(zip(params, torch.autograd.grad(scalar, tuple(params.values()))))
    heads = {part: int(arrays[f'cfg/{name}']) for part, name in HEADS.items()}
    grads = converters.mmvidmae_to_rvm(grads, heads)
    for name in sorted({*grads} | {key.removeprefix('gradnorm/') for key in arrays if key.startswith('gradnorm/')}):
        expected = float(arrays.get(f'gradnorm/{name}', np.nan))
        norm = float(grads[name].norm()) if name in grads else np.inf
        report.add(f'gradnorm/{name}', abs(norm - expected) / (GRAD_ATOL + GRAD_RTOL * expected), 1, 'of tolerance')
