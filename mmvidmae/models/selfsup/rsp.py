"""RSP: stochastic prediction of a future frame, with a masked autoencoder of it."""

from collections.abc import Sequence

import torch
from mmpretrain.structures import DataSample
from torch import Tensor

from mmvidmae.registry import MODELS

from ..layers import require
from ..masking import mask_by_noise, seeded_uniform
from .pair_mae import PairMAE, PairMAEOutput, merge_part


@MODELS.register_module()
class RSP(PairMAE):
    r"""RSP (arXiv 2406.07398, section 3): the future frame is predicted from the past frame and a sampled token.

    One siamese encoder :math:`E` makes three passes: over the whole source :math:`x_0`, over the whole target with
    noise :math:`x_1 + \sigma \varepsilon`, and over the visible quarter :math:`v_1` of the target. A
    :class:`StochasticToken` draws :math:`z \sim q(z \mid c_0, c_1')` from the class tokens of the first two. The same
    decoder :math:`D` has two branches. The queries of both are mask tokens :math:`m` only:

    .. math::
        \hat x_1 &= D(m;\ [z,\ E(x_0)]) \\
        \tilde x_1 &= D(m;\ E(v_1) \text{ restored among mask tokens}) \\
        \mathcal{L} &= \mathcal{L}_\text{all}(\hat x_1) + \mathcal{L}_\text{hidden}(\tilde x_1)
        + 0.01 \max(\mathrm{KL}(q \| p(z \mid c_0)),\ 0.1)

    Target pixels are those without noise. Source, target and sampled token have their own projections to the decoder.

    The arguments of :class:`PairMAE` and these. The defaults are the authors' ViT-S/16
    (huiwon-jang/RSP@5ea2b91:models_rsp.py:307-431). They log a third prediction, from the prior. Here it is left out.

    Args:
        stochastic: Config of :class:`StochasticToken`. The widths are filled in.
        noise_scale: Standard deviation :math:`\sigma` of the noise on the target for the posterior, in units of the
            normalized frames.
        kl_weight: Weight of the KL loss.

    Raises:
        ValueError: If parts do not fit, see :class:`PairMAE`. The clips are no pairs. The encoder is not siamese, has
            no class token or has frame identity embeddings. No branch of the decoder reads the sampled token.
    """

    recipe = {
        **PairMAE.recipe,
        'backbone': dict(
            type='mmvidmae.PairMAEViT', arch='small', encoding='siamese', frame_embed=False, with_cls_token=True
        ),
        'masking': dict(type='mmvidmae.AsymmetricMasking', mask_ratio=(0.0, 0.75)),
        'neck': dict(
            type='mmvidmae.CrossPairDecoder',
            frame_projections=True,
            branches=(
                dict(targets=(1,), memory=(0,), sampled_token=True, queries='mask', over='all', name='future'),
                dict(targets=(1,), memory=(1,), memory_tokens='restored', queries='mask', name='mae'),
            ),
        ),
        'stochastic': dict(type='mmvidmae.StochasticToken'),
    }
    samples_token = True

    def __init__(
        self, *args, stochastic: dict | None = None, noise_scale: float = 0.5, kl_weight: float = 0.01, **kwargs
    ) -> None:
        super().__init__(*args, **kwargs)
        require(noise_scale >= 0, self, 'noise_scale', noise_scale, 'a number of at least 0')
        require(kl_weight >= 0, self, 'kl_weight', kl_weight, 'a number of at least 0')
        self.noise_scale = noise_scale
        self.kl_weight = kl_weight
        widths = dict(embed_dims=self.backbone.embed_dims, token_dims=self.neck.decoder_pred.in_features)
        self.stochastic = MODELS.build({**widths, **merge_part(self.recipe['stochastic'], stochastic)})

    def _check_parts(self) -> None:
        super()._check_parts()
        encoder = self.backbone
        require(self.num_frames == 2, self, 'num_frames', self.num_frames, '2, a source and a target')
        require(encoder.encoding == 'siamese', self, 'backbone.encoding', encoder.encoding, "'siamese'")
        require(encoder.with_cls_token, self, 'backbone.with_cls_token', encoder.with_cls_token, 'True')
        require(encoder.frame_embed is None, self, 'backbone.frame_embed', True, 'False')
        reads = any(branch.sampled_token for branch in self.neck.branches)
        require(reads, self, 'neck.branches', self.neck.branches, 'a list with sampled_token=True in one or more')

    def forward_pretrain(
        self,
        frames: Tensor,
        noise: Tensor | None = None,
        pixel_noise: Tensor | None = None,
        uniform: Tensor | None = None,
        classes: Tensor | None = None,
    ) -> PairMAEOutput:
        """Run one forward pass of pre-training. What is not given is drawn from torch's generator.

        Args:
            frames: Normalized pairs ``(N, 2, 3, H, W)``, the source first.
            noise: Uniform masking noise ``(N, 2 L)``, frame 0 first.
            pixel_noise: Standard normal noise ``(N, 3, H, W)`` on the target for the posterior.
            uniform: Uniform noise ``(N, S)`` that determines the sampled classes.
            classes: Sampled classes ``(N, S)`` int64, to repeat given draws.

        Returns:
            Latents, masks, predictions of both branches, and the losses ``loss_future``, ``loss_mae`` and ``loss_kl``.
        """
        grid, target = self._grid(frames), frames[:, 1]
        if noise is None:
            noise = torch.rand(len(frames), 2 * grid[0] * grid[1], device=frames.device)
        if pixel_noise is None:
            pixel_noise = torch.randn_like(target)
        masks = self.masking(noise, grid)
        whole = mask_by_noise(torch.zeros_like(masks[1].mask), grid[0] * grid[1])
        noised = target + self.noise_scale * pixel_noise
        *latent, noised_latent = self.backbone(torch.cat((frames, noised[:, None]), dim=1), (*masks, whole))
        token, kl = self.stochastic(latent[0][:, 0], noised_latent[:, 0], uniform, classes)
        preds = self.neck(latent, masks, grid, token)
        mask = torch.cat([group.mask for group in masks], dim=1)
        losses = {**self._losses(preds, frames, mask), 'loss_kl': self.kl_weight * kl}
        return PairMAEOutput(tuple(latent), mask, tuple(group.ids_restore for group in masks), preds, losses)

    def _draws(self, frames: Tensor, data_samples: Sequence[DataSample] | None) -> dict[str, Tensor]:
        """Masking noise as in :class:`PairMAE`, then pixel noise and the noise of the classes, all from the seeds."""
        seeds = self._seeds(frames, data_samples)
        if seeds is None:
            return {}
        rows, columns = self._grid(frames)
        lengths = (2 * rows * columns, frames[0, 1].numel(), self.stochastic.num_variables)
        noise, pixels, uniform = seeded_uniform(seeds, sum(lengths)).split(lengths, dim=1)
        normal = torch.special.ndtri(pixels.clamp(min=2.0**-54)).to(frames.dtype)  # uniform 0 would be minus infinity
        return dict(noise=noise, pixel_noise=normal.unflatten(1, frames.shape[2:]), uniform=uniform)
