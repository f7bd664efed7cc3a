"""Parity of the pre-training parts with the authors' implementations.

Each checker reads one kind of reference file, builds what it describes from the file alone and compares everything in
it. The files hold inputs, weights under the authors' names and outputs; numbers that go through a product and a floor
are stored as whole per cents or per milles.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from mmengine.registry import DefaultScope
from torch import Tensor

from mmvidmae import converters
from mmvidmae.models.layers import (
    CrossBlock,
    build_2d_sincos_pos_embed,
    num_spatial_drops,
    sample_spatial_drops,
    spatial_drop_weights,
)
from mmvidmae.models.masking import count_visible
from mmvidmae.models.selfsup import DropMAE, PairMAE, PairMAEOutput, SiamMAE

from .report import Arrays, Report, read_config, read_state, tensor

# CropMAE's decoder layer: alexandre-eymael/CropMAE@5d0dab2:models/components/DecoderBlock.py:42-105
CROPMAE_DECODER = dict(
    feedforward_channels=2048, order=('cross', 'ffn', 'self'), norm_first=False, memory_pos_embed=False, dropout=0.1
)
GRAD_RTOL = 1e-4
GRAD_ATOL = 1e-7
LOSS_RTOL = 1e-5


def check_dropmae(arrays: Arrays) -> Report:
    """DropMAE's forward pass without and with given attention drops: masks, latents, predictions, losses, gradient
    norms."""
    report = Report()
    model = _build(
        DropMAE,
        arrays,
        'dropmae',
        mask_ratio=int(arrays['mask_permille']) / 1000,
        neck=dict(spatial_drop=int(arrays['asad/P_percent']) / 100),
    )
    frames = torch.stack((tensor(arrays['imgs_x']), tensor(arrays['imgs_z'])), dim=1)
    noise = tensor(arrays['noise'])
    blocks = model.neck.decoder_blocks

    seen = {}
    with blocks[0].register_forward_pre_hook(lambda _, args: seen.update(decoder_in=args[0])):
        out = model.forward_pretrain(frames, noise)
    report.compare('mask', out.mask, arrays['mask'])
    report.compare('ids_restore', out.ids_restore[0], arrays['ids_restore'])
    (mask,) = model.masking(noise, model.backbone.patch_resolution)
    report.compare('ids_keep', mask.ids_keep, arrays['ids_keep'])
    report.compare('latent', out.latent[0], arrays['latent'], atol=2e-5)
    report.compare('decoder_in', seen['decoder_in'], arrays['decoder_in'], atol=2e-5)
    _compare_reconstruction(report, model, out, frames, arrays, pred_atol=2e-5)
    _compare_gradients(report, 'gradnorm/', model, out.loss, arrays, converters.mmvidmae_to_dropmae)

    drops = [tensor(arrays[f'asad/drop/{i}'], torch.bool) for i in range(len(blocks))]
    num_drops = num_spatial_drops(blocks[0].attn.spatial_drop, drops[0].shape[-1])
    report.compare('asad/n_drop', num_drops, arrays['asad/n_drop'])
    out = model.forward_pretrain(frames, noise, drops)
    report.compare('asad/pred', out.pred, arrays['asad/pred'], atol=2e-5)
    report.compare('asad/loss', out.loss, arrays['asad/loss'], rtol=LOSS_RTOL)
    _compare_gradients(report, 'asad/gradnorm/', model, out.loss, arrays, converters.mmvidmae_to_dropmae)
    return report


def check_cropmae(arrays: Arrays) -> Report:
    """CropMAE's SiamMAE: both encoder passes, the decoder's streams, prediction, losses and gradient norms."""
    report = Report()
    ratio = int(arrays['mask_permille']) / 1000
    model = _build(SiamMAE, arrays, 'cropmae', mask_ratio=(0.0, ratio), neck=CROPMAE_DECODER)
    frames = torch.stack((tensor(arrays['frame1']), tensor(arrays['frame2'])), dim=1)
    compare_cropmae(report, model, frames, arrays, atol=1e-5)
    return report


def compare_cropmae(report: Report, model: PairMAE, frames: Tensor, arrays: Arrays, atol: float) -> None:
    """Compare a forward and a backward pass of a model with CropMAE's decoder on given pairs."""
    noise = tensor(arrays['noise'])
    seen = {}

    def watch(_, args: tuple[Tensor, ...], output: Tensor) -> None:
        seen.update(decoder_q=args[0], decoder_kv=args[1], decoder_block0_out=output)

    with model.neck.decoder_blocks[0].register_forward_hook(watch):
        out = model.forward_pretrain(frames, torch.cat((torch.zeros_like(noise), noise), dim=1))
    report.compare('mask', out.mask[:, noise.shape[1] :], arrays['mask'])
    report.compare('ids_restore', out.ids_restore[1], arrays['ids_restore'])
    report.compare('features_frame1', out.latent[0], arrays['features_frame1'], atol=atol)
    report.compare('latent_frame2', out.latent[1], arrays['latent_frame2'], atol=atol)
    for name, value in seen.items():
        report.compare(name, value, arrays[name], atol=atol)
    _compare_reconstruction(report, model, out, frames, arrays, pred_atol=atol)
    _compare_gradients(report, 'gradnorm/', model, out.loss, arrays, converters.mmvidmae_to_cropmae)


def check_rsp_block(arrays: Arrays) -> Report:
    """A cross-self block of RSP and ToBo, as ``CrossPairDecoder`` has by default: output, input gradients and gradient
    norms."""
    report = Report()
    dims = int(arrays['cfg/dim'])
    block = CrossBlock(dims, int(arrays['cfg/num_heads']), int(arrays['cfg/mlp_ratio']) * dims).eval()
    block.load_state_dict(converters.rsp_block_to_mmvidmae(read_state(arrays)))
    x, memory = (tensor(arrays[name]).requires_grad_() for name in ('x', 'kv'))
    out = block(x, memory)
    scalar = (out * tensor(arrays['cotangent'])).sum()
    report.compare('out', out, arrays['out'], atol=1e-5)
    for name, value in zip(('grad_x', 'grad_kv'), torch.autograd.grad(scalar, (x, memory), retain_graph=True)):
        report.compare(name, value, arrays[name], atol=3e-5)
    _compare_gradients(report, 'gradnorm/', block, scalar, arrays, converters.mmvidmae_to_rsp_block)
    return report


def check_asad(arrays: Arrays, draws: int = 4000, seed: int = 0) -> Report:
    """The sampler of attention drops: weights, counts, and inclusion frequencies of ``draws`` draws against those
    recorded.

    Frequencies are compared by the two-sample z of each entry; over the entries whose counts are not near 0 or the
    number of draws, its root mean square must lie in (0.9, 1.1) and its largest magnitude below 5.
    """
    report = Report()
    attn = tensor(arrays['logits']).softmax(-1)
    weights = spatial_drop_weights(attn)
    report.compare('W', weights, arrays['W'], rtol=1e-5)
    num_tokens = attn.shape[-1]
    counts = [num_spatial_drops(int(percent) / 100, num_tokens) for percent in arrays['P_percent']]
    report.compare('n_drop', counts, arrays['n_drop'])
    table = [[num_spatial_drops(int(p) / 100, int(n)) for p in arrays['table_P_percent']] for n in arrays['table_L']]
    report.compare('table_n_drop', table, arrays['table_n_drop'])

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for name in sorted(key for key in arrays if key.startswith('mc/') and key.endswith('/freq')):
            prefix = name.removesuffix('freq')
            num_drops, recorded_draws = int(arrays[f'{prefix}n_drop']), int(arrays[f'{prefix}draws'])
            included = torch.zeros_like(weights, dtype=torch.int64)
            for _ in range(0, draws, 100):
                drops = sample_spatial_drops(weights.expand(100, *weights.shape), num_drops)
                blocks = drops.unflatten(-1, (2, -1)).unflatten(-3, (2, -1))
                if blocks[..., 0, :, 1, :].any() or blocks[..., 1, :, 0, :].any():
                    report.add(f'{prefix}drops between frames', np.inf, 0, 'abs')
                within = torch.cat((blocks[..., 0, :, 0, :], blocks[..., 1, :, 1, :]), dim=-2)
                included += within.sum(0)
            recorded = tensor(arrays[name]).double().mul(recorded_draws).round()
            z = _two_sample_z(recorded, recorded_draws, included.double(), draws)
            report.add(f'{prefix}freq', (z.square().mean().sqrt() - 1).abs(), 0.1, '|rms(z) - 1|')
            report.add(f'{prefix}freq', z.abs().max(), 5, 'max |z|')
            total = included.sum((1, 2)).double() / draws
            report.compare(f'{prefix}n_drop', total, np.full(len(total), num_drops))
    return report


def check_sincos(arrays: Arrays) -> Report:
    """Sine-cosine position embeddings of square grids, named ``dim<D>_grid<G>_<cls|nocls>``."""
    report = Report()
    for name in arrays:
        dims, grid, cls = name.split('_')
        grid = int(grid.removeprefix('grid'))
        embed = build_2d_sincos_pos_embed((grid, grid), int(dims.removeprefix('dim')), cls == 'cls')
        report.compare(name, embed[0], arrays[name], atol=1e-6)
    return report


def check_len_keep(arrays: Arrays) -> Report:
    """Numbers of visible tokens."""
    report = Report()
    ratios = [int(permille) / 1000 for permille in arrays['mask_permille']]
    counts = [[count_visible(int(tokens), ratio) for ratio in ratios] for tokens in arrays['L']]
    report.compare('n_keep', counts, arrays['n_keep'])
    return report


def encoder_config(cfg: Mapping[str, Any]) -> dict[str, Any]:
    """Config of the encoder that the numbers describe."""
    arch = dict(
        embed_dims=cfg['embed_dim'],
        num_layers=cfg['depth'],
        num_heads=cfg['num_heads'],
        feedforward_channels=int(cfg['mlp_ratio'] * cfg['embed_dim']),
    )
    return dict(arch=arch, img_size=cfg['img_size'], patch_size=cfg['patch'])


def _build(
    model: type[PairMAE],
    arrays: Arrays,
    source: str,
    mask_ratio: float | tuple[float, ...],
    neck: dict,
    **parts: Any,
) -> PairMAE:
    """Build the model that ``cfg/*`` describes, in evaluation mode, with the weights under ``state/*``,
    which are in the format ``source``."""
    cfg = read_config(arrays)
    decoder = dict(
        decoder_dims=cfg['decoder_embed_dim'], depth=cfg['decoder_depth'], num_heads=cfg['decoder_num_heads'], **neck
    )
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        built = model(
            backbone=encoder_config(cfg),
            masking=dict(mask_ratio=mask_ratio),
            neck=decoder,
            **parts,
        )
    built.load_state_dict(converters.convert_state_dict(read_state(arrays), source).state_dict)
    return built.eval()


def _compare_reconstruction(
    report: Report, model: PairMAE, out: PairMAEOutput, frames: Tensor, arrays: Arrays, pred_atol: float
) -> None:
    """Prediction and both losses, with normalized and with raw targets."""
    report.compare('pred', out.pred, arrays['pred'], atol=pred_atol)
    report.compare('loss', out.loss, arrays['loss'], rtol=LOSS_RTOL)
    model.head.norm_pix = False
    raw = sum(model._losses(out.preds, frames, out.mask).values())
    report.compare('loss_raw', raw, arrays['loss_raw'], rtol=LOSS_RTOL)
    model.head.norm_pix = True


def _compare_gradients(
    report: Report,
    prefix: str,
    module: torch.nn.Module,
    scalar: Tensor,
    arrays: Arrays,
    convert: Callable[[Mapping[str, Tensor]], dict[str, Tensor]],
    part: bool = False,
    atol: float = 0.0,
) -> None:
    """Norm of the gradient of ``scalar`` by each of the authors' trainable parameters, or by a ``part`` of them.

    ``atol`` is for gradients that are zero in exact arithmetic, such as those of key biases.
    """
    params = {name: param for name, param in module.named_parameters() if param.requires_grad}
    grads = torch.autograd.grad(
        scalar, tuple(params.values()), retain_graph=True, allow_unused=True, materialize_grads=True
    )
    grads = convert(dict(zip(params, grads)))
    expected = {key.removeprefix(prefix) for key in arrays if key.startswith(prefix)}
    if missing := expected - grads.keys() if part else expected.symmetric_difference(grads):
        report.add(f'{prefix}: parameters without a counterpart: {", ".join(sorted(missing))}', np.inf, 0, 'abs')
    for name in sorted(expected & grads.keys()):
        report.compare(prefix + name, grads[name].norm(), arrays[prefix + name], rtol=GRAD_RTOL, atol=atol)


def _two_sample_z(counts1: Tensor, draws1: int, counts2: Tensor, draws2: int) -> Tensor:
    """z of two inclusion frequencies, for the entries away from 0 and 1."""
    total, draws = counts1 + counts2, draws1 + draws2
    usable = (total > 20) & (draws1 - counts1 + draws2 - counts2 > 20)
    p = (total / draws)[usable]
    difference = (counts1 / draws1 - counts2 / draws2)[usable]
    return difference / (p * (1 - p) * (1 / draws1 + 1 / draws2)).sqrt()
