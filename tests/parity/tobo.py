"""Parity of ToBo with the authors' implementation."""

import torch
from torch import Tensor

from mmvidmae import converters
from mmvidmae.datasets import SampleFrames
from mmvidmae.models.selfsup import ToBo

from .frames import compare_frames
from .pretrain import GRAD_ATOL, LOSS_RTOL, _build, _compare_gradients
from .report import Arrays, Report, tensor

ATOL = 2e-5
PATHS = ('patch', 'bottleneck')


def check_tobo(arrays: Arrays) -> Report:
    """ToBo's forward pass: latents, masks, both paths of the decoder, losses, gradient norms of the total and of the
    bottleneck loss alone, the order with self-attention first, raw targets, and the frames drawn."""
    report = Report()
    ratio = int(arrays['mask_permille']) / 1000
    neck = dict(feedforward_channels=int(arrays['cfg/mlp_ratio']) * int(arrays['cfg/decoder_embed_dim']))
    model = _build(ToBo, arrays, 'tobo', mask_ratio=(0.0, ratio), neck=neck)
    frames = torch.stack((tensor(arrays['source']), tensor(arrays['target'])), dim=1)
    noise = tensor(arrays['noise'])
    noise = torch.cat((torch.zeros_like(noise), noise), dim=1)

    calls: dict[int, list[tuple]] = {0: [], len(model.neck.decoder_blocks) - 1: []}

    def watch(block: torch.nn.Module, args: tuple[Tensor, ...], output: Tensor) -> None:
        index = list(model.neck.decoder_blocks).index(block)
        calls[index].append((*args, output))

    handles = [model.neck.decoder_blocks[index].register_forward_hook(watch) for index in calls]
    out = model.forward_pretrain(frames, noise)
    for handle in handles:
        handle.remove()
    target = model.masking(noise, model.backbone.patch_resolution)[1]
    for name in ('mask', 'ids_restore', 'ids_keep'):
        report.compare(name, getattr(target, name), arrays[name])
    report.compare('latent_source', out.latent[0], arrays['latent_source'], atol=ATOL)
    report.compare('latent_target', out.latent[1], arrays['latent_target'], atol=ATOL)
    report.compare('memory', calls[0][0][1], arrays['memory'], atol=ATOL)
    for path, first, last, pred in zip(PATHS, calls[0], [*calls.values()][-1], out.preds, strict=True):
        report.compare(f'query_{path}', first[0], arrays[f'query_{path}'], atol=ATOL)
        report.compare(f'block0_{path}', first[-1], arrays[f'block0_{path}'], atol=ATOL)
        report.compare(f'last_{path}', last[-1], arrays[f'last_{path}'], atol=ATOL)
        report.compare(f'pred_{path}', pred, arrays[f'pred_{path}'], atol=ATOL)
    _compare_losses(report, '', out.losses, arrays)
    report.compare('loss', out.loss, arrays['loss'], rtol=LOSS_RTOL)
    convert = converters.mmvidmae_to_tobo
    _compare_gradients(report, 'gradnorm/', model, out.loss, arrays, convert, atol=GRAD_ATOL)
    bottleneck = out.losses['loss_bottleneck']
    _compare_gradients(report, 'bottleneck/gradnorm/', model, bottleneck, arrays, convert, atol=GRAD_ATOL)

    model.head.norm_pix = False
    _compare_losses(report, 'raw/', model._losses(out.preds, frames, out.mask), arrays)
    neck['order'] = ('self', 'cross', 'ffn')
    out = _build(ToBo, arrays, 'tobo', mask_ratio=(0.0, ratio), neck=neck).forward_pretrain(frames, noise)
    report.compare('scm/loss_patch', out.losses['loss_patch'], arrays['scm/loss_patch'], rtol=LOSS_RTOL)
    _compare_table(report, arrays)
    return report


def _compare_losses(report: Report, prefix: str, losses: dict[str, Tensor], arrays: Arrays) -> None:
    for path in PATHS:
        report.compare(f'{prefix}loss_{path}', losses[f'loss_{path}'], arrays[f'{prefix}loss_{path}'], rtol=LOSS_RTOL)


def _compare_table(report: Report, arrays: Arrays) -> None:
    """Frames of each row, given its draws. Where the start was drawn first, its bound tells the largest distance."""
    table = arrays['frames/table'].tolist()
    (distance,) = {length - 1 - high for _, length, low, high, *_ in table if low == 0}
    for count, length, *row in table:
        draws, frames = (row[:3], row[3:6]), row[6 : 6 + count]
        gap = (1, distance // (count - 1))
        sampler = SampleFrames(gap, 'room', num_frames=count, spacing='equal', short='gap')
        compare_frames(report, f'frames/table {count} of {length}', sampler, length, draws, frames)
