"""Parity of RSP with the authors' implementation."""

import torch

from mmvidmae import converters
from mmvidmae.models.selfsup import RSP

from .frames import compare_table
from .pretrain import GRAD_ATOL, LOSS_RTOL, _build, _compare_gradients
from .report import Arrays, Report, tensor

ATOL = 2e-5


def check_rsp(arrays: Arrays) -> Report:
    """RSP's three encoder passes, posterior and prior, queries and memory of both branches, predictions, losses and
    gradient norms, also with free bits above the KL divergence, and the frames drawn."""
    report = Report()
    constants = ('kl_scale', 'kl_balance', 'kl_freebit', 'noise_scale', 'mask')
    constants = {name: int(arrays[f'{name}_permille']) / 1000 for name in constants}
    model = _build(
        RSP,
        arrays,
        'rsp',
        mask_ratio=(0.0, constants['mask']),
        neck=dict(feedforward_channels=int(arrays['cfg/mlp_ratio']) * int(arrays['cfg/decoder_embed_dim'])),
        stochastic=dict(
            num_variables=int(arrays['cfg/stoch']),
            num_classes=int(arrays['cfg/discrete']),
            kl_balance=constants['kl_balance'],
            free_bits=constants['kl_freebit'],
        ),
        noise_scale=constants['noise_scale'],
        kl_weight=constants['kl_scale'],
    )
    frames = torch.stack((tensor(arrays['source']), tensor(arrays['target'])), dim=1)
    noise = tensor(arrays['noise'])
    draws = dict(
        noise=torch.cat((torch.zeros_like(noise), noise), dim=1),
        pixel_noise=tensor(arrays['eps']),
        classes=tensor(arrays['post_index'], torch.int64),
    )

    seen = {}
    calls = []
    neck, stochastic = model.neck, model.stochastic
    with (
        model.backbone.register_forward_hook(lambda _, args, output: seen.update(latents=output)),
        stochastic.posterior.register_forward_hook(lambda _, args, output: seen.update(post_logits=output)),
        stochastic.prior.register_forward_hook(lambda _, args, output: seen.update(prior_logits=output)),
        neck.decoder_blocks[0].register_forward_hook(lambda _, args, output: calls.append((*args, output))),
    ):
        out = model.forward_pretrain(frames, **draws)
    for name, latent in zip(('latent_source', 'latent_target_masked', 'latent_target_noised'), seen['latents']):
        report.compare(name, latent, arrays[name], atol=ATOL)
    for name in ('post_logits', 'prior_logits'):
        report.compare(name, seen[name], arrays[name], atol=ATOL)
    for name, (query, memory, _) in zip(('future', 'mae'), calls):
        report.compare(f'{name}_query', query, arrays[f'{name}_query'], atol=ATOL)
        report.compare(f'{name}_memory', memory, arrays[f'{name}_memory'], atol=ATOL)
    report.compare('future_block0_out', calls[0][2], arrays['future_block0_out'], atol=ATOL)
    report.compare('mask', out.mask[:, noise.shape[1] :], arrays['mask'])
    report.compare('ids_restore', out.ids_restore[1], arrays['ids_restore'])
    report.compare('pred_future', out.preds[0], arrays['pred_future'], atol=ATOL)
    report.compare('pred_mae', out.preds[1], arrays['pred_mae'], atol=ATOL)

    posterior, prior = (
        seen[f'{name}_logits'].unflatten(1, (stochastic.num_variables, -1)) for name in ('post', 'prior')
    )
    kl_value = stochastic.kl(posterior, prior)
    kl_loss = kl_value.clamp(min=stochastic.free_bits)
    report.compare('kl_value', kl_value, arrays['kl_value'], rtol=LOSS_RTOL)
    report.compare('kl_loss', kl_loss, arrays['kl_loss'], rtol=LOSS_RTOL)
    for name in ('loss_future', 'loss_mae'):
        report.compare(name, out.losses[name], arrays[name], rtol=LOSS_RTOL)
    report.compare('loss', out.loss, arrays['loss'], rtol=LOSS_RTOL)
    convert = converters.mmvidmae_to_rsp
    _compare_gradients(report, 'gradnorm/', model, out.loss, arrays, convert, atol=GRAD_ATOL)
    _compare_gradients(report, 'kl/gradnorm/', model, kl_loss, arrays, convert, part=True, atol=GRAD_ATOL)
    _compare_gradients(report, 'future/gradnorm/', model, out.losses['loss_future'], arrays, convert, atol=GRAD_ATOL)

    stochastic.free_bits = int(arrays['freebit/permille']) / 1000
    bound = model.forward_pretrain(frames, **draws)
    report.compare('freebit/loss', bound.loss, arrays['freebit/loss'], rtol=LOSS_RTOL)
    _compare_gradients(report, 'freebit/gradnorm/', model, bound.loss, arrays, convert, part=True, atol=GRAD_ATOL)

    with torch.no_grad():
        token = stochastic.token(prior, classes=tensor(arrays['prior_index'], torch.int64))
        grid = model.backbone.patch_resolution
        preds = neck(out.latent, model.masking(draws['noise'], grid), grid, token)
        report.compare('pred_future_prior', preds[0], arrays['pred_future_prior'], atol=ATOL)
        loss_prior = model._losses(preds, frames, out.mask)['loss_future']
        report.compare('loss_future_prior', loss_prior, arrays['loss_future_prior'], rtol=LOSS_RTOL)
        model.head.norm_pix = False
        raw = model._losses(out.preds, frames, out.mask)
        for name in ('loss_future', 'loss_mae'):
            report.compare(f'raw/{name}', raw[name], arrays[f'raw/{name}'], rtol=LOSS_RTOL)
    compare_table(report, arrays['frames/table'], num_frames=2)
    return report
