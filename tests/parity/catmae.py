"""Parity of CatMAE with the authors' implementation."""

import copy

import torch
from torch import Tensor

from mmvidmae import converters
from mmvidmae.models.selfsup import CatMAE

from .frames import compare_table
from .pretrain import GRAD_ATOL, LOSS_RTOL, _build, _compare_gradients
from .report import Arrays, Report, tensor

ATOL = 2e-5


def check_catmae(arrays: Arrays) -> Report:
    """CatMAE's forward pass: the latents of all frames, queries and memory of both branches, predictions, losses in
    both directions, gradient norms, the epsilon of the decoder's layer norms, and the frames drawn."""
    report = Report()
    ratios = [int(arrays[f'mask{i}_permille']) / 1000 for i in (2, 3)]
    weights = [int(arrays[f'w{i}_permille']) / 1000 for i in (2, 3)]
    branches = [
        {**branch, 'weight': weight} for branch, weight in zip(CatMAE.recipe['neck']['branches'], weights, strict=True)
    ]
    model = _build(CatMAE, arrays, 'catmae', mask_ratio=(0.0, *ratios), neck=dict(branches=branches))
    frames = torch.stack([tensor(arrays[f'frame{i}']) for i in (1, 2, 3)], dim=1)
    noise = torch.cat([tensor(arrays[f'noise{i}']) for i in (2, 3)], dim=1)
    noise = torch.cat((torch.zeros_like(noise[:, : noise.shape[1] // 2]), noise), dim=1)

    calls = []

    def watch(_, args: tuple[Tensor, ...], output: Tensor) -> None:
        calls.append((*args, output))

    with model.neck.decoder_blocks[0].register_forward_hook(watch):
        out = model.forward_pretrain(frames, noise)
    masks = out.mask.unflatten(1, (3, -1))
    for i in range(3):
        report.compare(f'latent{i + 1}', out.latent[i], arrays[f'latent{i + 1}'], atol=ATOL)
    for branch, (query, memory, block) in enumerate(calls):
        frame = branch + 2
        report.compare(f'mask{frame}', masks[:, frame - 1], arrays[f'mask{frame}'])
        report.compare(f'ids_restore{frame}', out.ids_restore[frame - 1], arrays[f'ids_restore{frame}'])
        report.compare(f'query{frame}', query, arrays[f'query{frame}'], atol=ATOL)
        if frame == 3:
            memory = _in_raster_order(memory, out.ids_restore[1])
        report.compare(f'memory{frame}', memory, arrays[f'memory{frame}'], atol=ATOL)
        report.compare(f'block0_{frame}', block, arrays[f'block0_{frame}'], atol=ATOL)
        report.compare(f'pred{frame}', out.preds[branch], arrays[f'pred{frame}'], atol=ATOL)
        loss = list(out.losses.values())[branch] / weights[branch]
        report.compare(f'loss{frame}', loss, arrays[f'loss{frame}'], rtol=LOSS_RTOL)
    report.compare('loss', out.loss, arrays['loss'], rtol=LOSS_RTOL)
    _compare_gradients(report, 'gradnorm/', model, out.loss, arrays, converters.mmvidmae_to_catmae, atol=GRAD_ATOL)
    only = list(out.losses.values())[1] / weights[1]
    _compare_gradients(
        report, 'only3/gradnorm/', model, only, arrays, converters.mmvidmae_to_catmae, part=True, atol=GRAD_ATOL
    )

    losses = model.forward_pretrain(frames.flip(1), noise).losses.values()
    for frame, loss, weight in zip((2, 3), losses, weights):
        report.compare(f'reversed/loss{frame}', loss / weight, arrays[f'reversed/loss{frame}'], rtol=LOSS_RTOL)

    scale = 2.0 ** int(arrays['probe/log2'])
    block = copy.deepcopy(model.neck.decoder_blocks[0])
    with torch.no_grad():
        for param in block.cross_attn.parameters():
            param.mul_(scale)
        probe = block(tensor(arrays['query2']) * scale, tensor(arrays['memory2']))
    report.compare('probe/out', probe, arrays['probe/out'], atol=ATOL)
    compare_table(report, arrays['frames/table'], num_frames=3, spacing='own')
    return report


def _in_raster_order(memory: Tensor, ids_restore: Tensor) -> Tensor:
    """Sort the visible tokens of the second frame, last in the memory, by their place in the picture. Here they are in
    the order of the noise, and the authors have them in raster order."""
    visible = memory.shape[1] - 2 - ids_restore.shape[1]
    raster = ids_restore.argsort(1)[:, :visible].argsort(1)
    order = raster[..., None].expand(-1, -1, memory.shape[2])
    return torch.cat((memory[:, :-visible], memory[:, -visible:].gather(1, order)), dim=1)
