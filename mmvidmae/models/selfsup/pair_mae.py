"""Masked autoencoders on frame pairs: the algorithm and the published forms of it."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from mmpretrain.models.selfsup.base import BaseSelfSupervisor
from mmpretrain.structures import DataSample
from torch import Tensor

from mmvidmae.registry import MODELS

from ..masking import mask_by_noise, seeded_uniform


class PairMAEOutput(NamedTuple):
    """Everything that one pass over N pairs gives, for L patches a frame of side p.

    Attributes:
        latent: For each mask the encoder's output ``(N, K, D)`` for the visible tokens, after the final norm; class
            token first.
        mask: ``(N, 2 L)`` float32, 1 where a patch is hidden; frame 0 first.
        ids_restore: For each mask ``(N, 2 L)`` (one joint mask) or ``(N, L)``, the rank of each token in the order
            (visible, hidden).
        pred: ``(N, P, p * p * 3)`` prediction for both frames (P = 2 L) or the future frame (P = L).
        loss: Scalar.
    """

    latent: tuple[Tensor, ...]
    mask: Tensor
    ids_restore: tuple[Tensor, ...]
    pred: Tensor
    loss: Tensor


def _part(default: dict, given: dict | None) -> dict:
    """Config of a part: the default, updated by what the user gives; a different ``type`` replaces it as a whole."""
    given = dict(given or {})
    if given.get('type', default['type']) != default['type']:
        return given
    return {**default, **given}


@MODELS.register_module()
class PairMAE(BaseSelfSupervisor):
    """Masked autoencoder on pairs of frames of a video.

    Four choices make a method: what is hidden (``masking``), whether the frames are encoded together
    (``backbone.encoding``), whether tokens know their frame (``frame_embed`` of backbone and neck), and how hidden
    patches are decoded (``neck``). Any combination can be configured; :class:`DropMAE`, :class:`TwinMAE` and
    :class:`SiamMAE` are the published ones.

    A config gives only what differs from the class's ``recipe``. The width, patch grid, patch size and class token that
    neck and head must share with the backbone are filled in from it.

    Args:
        backbone: Config of :class:`PairMAEViT`.
        masking: Config of a masking strategy.
        neck: Config of a decoder.
        head: Config of :class:`PairReconstructionHead`.
        data_preprocessor: Config of the preprocessor; by default RGB pairs are normalized with ImageNet's statistics on
            the device.
        compile: Whether training runs :meth:`forward_pretrain` through ``torch.compile``, or a dict with its options.
            It is one graph; what is around it (data samples, the optimizer) stays as it is.
        init_cfg: Initialization config of MMEngine.

    Raises:
        ValueError: If the decoder or encoder needs to know the visible tokens of each frame and the masking is joint,
            or if no patch is hidden of what the decoder predicts: there would be nothing to learn from.
    """

    recipe = dict(
        backbone=dict(type='mmvidmae.PairMAEViT'),
        masking=dict(type='mmvidmae.JointRandomMasking'),
        neck=dict(type='mmvidmae.JointPairDecoder'),
        head=dict(type='mmvidmae.PairReconstructionHead'),
        data_preprocessor=dict(
            type='mmpretrain.VideoDataPreprocessor',
            mean=[123.675, 116.28, 103.53],
            std=[58.395, 57.12, 57.375],
            format_shape='NCHW',
        ),
    )

    def __init__(
        self,
        backbone: dict | None = None,
        masking: dict | None = None,
        neck: dict | None = None,
        head: dict | None = None,
        data_preprocessor: dict | None = None,
        compile: bool | dict = False,
        init_cfg: dict | None = None,
    ) -> None:
        encoder = MODELS.build(_part(self.recipe['backbone'], backbone))
        shared = dict(
            embed_dims=encoder.embed_dims,
            grid=encoder.patch_resolution,
            patch_size=encoder.patch_size,
            with_cls_token=encoder.with_cls_token,
        )
        super().__init__(
            backbone=encoder,
            neck=MODELS.build({**shared, **_part(self.recipe['neck'], neck)}),
            head=MODELS.build({'patch_size': encoder.patch_size, **_part(self.recipe['head'], head)}),
            data_preprocessor=_part(self.recipe['data_preprocessor'], data_preprocessor),
            init_cfg=init_cfg,
        )
        self.masking = MODELS.build(_part(self.recipe['masking'], masking))
        self._forward_pretrain = type(self).forward_pretrain  # unbound, so that a copy of the model calls itself
        if compile is not False:
            self._forward_pretrain = torch.compile(self._forward_pretrain, **({} if compile is True else compile))
        groups = self.masking.num_groups
        if groups not in self.neck.num_groups or (encoder.encoding == 'siamese' and groups != 2):
            raise ValueError(
                f'{type(self.masking).__name__} hides tokens of both frames together, but a siamese encoder and '
                f'{type(self.neck).__name__} need a fixed number of visible tokens in each frame: use '
                'PerFrameRandomMasking, AsymmetricMasking or GridMasking'
            )
        if not any(self.masking.hides[frame] for frame in self.neck.predicts):
            what = 'either frame' if len(self.neck.predicts) == 2 else 'the future frame (frame 1)'
            raise ValueError(
                f'{type(self.masking).__name__} hides nothing of {what}, and the loss of {type(self.neck).__name__} is '
                'over hidden patches: give it a mask_ratio above 0, or a stride above 1'
            )

    def extract_feat(self, inputs: Tensor) -> tuple[Tensor, ...]:
        """Features of pairs ``(N, 2, 3, H, W)`` with nothing hidden: of each frame ``(N, L, D)``.

        There are as many class tokens as in training: one in front of each frame where the masking is of each frame,
        and a single one in front of frame 0 where both are masked, and encoded, together.
        """
        if self.masking.num_groups == 1:
            return self.backbone(inputs)
        rows, columns = self._grid(inputs)
        whole = mask_by_noise(inputs.new_zeros(inputs.shape[0], rows * columns), rows * columns)
        return self.backbone(inputs, (whole, whole))

    def forward_pretrain(
        self, frames: Tensor, noise: Tensor | None = None, drop_masks: Sequence[Tensor] | None = None
    ) -> PairMAEOutput:
        """Hide, encode, decode and compare: the whole method in one pass, which training, tools and parity checks
        share.

        Args:
            frames: Normalized pairs ``(N, 2, 3, H, W)``, frame 0 earlier; H and W divisible by the patch size.
            noise: Uniform masking noise ``(N, 2 L)``, frame 0 first; the tokens with the smallest are visible. Drawn
                from torch's generator if not given.
            drop_masks: For each decoder block a boolean mask ``(N, heads or 1, 2 L, 2 L)`` of attention to drop, to
                repeat a given draw of ASAD (:class:`JointPairDecoder` only). Without them drops are drawn in training
                and nothing is dropped in evaluation.

        Returns:
            Latents, masks, prediction and loss.
        """
        grid = self._grid(frames)
        if noise is None:
            noise = torch.rand(frames.shape[0], 2 * grid[0] * grid[1], device=frames.device)
        masks = self.masking(noise, grid)
        latent = self.backbone(frames, masks)
        pred = self.neck(latent, masks, grid, **({} if drop_masks is None else {'drop_masks': drop_masks}))
        mask = torch.cat([group.mask for group in masks], dim=1)
        loss = self.head.loss(pred, frames, mask)
        return PairMAEOutput(latent, mask, tuple(group.ids_restore for group in masks), pred, loss)

    def forward(
        self, inputs: Tensor, data_samples: list[DataSample] | None = None, mode: str = 'tensor'
    ) -> tuple[Tensor, ...] | dict[str, Tensor] | list[DataSample]:
        """Entry point of MMEngine.

        Args:
            inputs: Normalized pairs ``(N, 2, 3, H, W)``.
            data_samples: N data samples. The masks of pairs whose samples hold a ``seed`` follow from it.
            mode: ``'tensor'`` gives the encoder's features of the whole pair, see :meth:`extract_feat`, ``'loss'`` a
                dict with ``loss``, and ``'predict'`` N data samples, see :meth:`predict`.
        """
        if mode == 'predict':
            return self.predict(inputs, data_samples)
        return super().forward(inputs, data_samples, mode)

    def loss(self, inputs: Tensor, data_samples: list[DataSample] | None = None) -> dict[str, Tensor]:
        """Training loss of pairs ``(N, 2, 3, H, W)``."""
        return dict(loss=self._forward_pretrain(self, inputs, self._noise(inputs, data_samples)).loss)

    @torch.no_grad()
    def predict(self, inputs: Tensor, data_samples: list[DataSample] | None = None) -> list[DataSample]:
        """Reconstruct pairs ``(N, 2, 3, H, W)``.

        Returns:
            The N data samples with, as fields,

            - ``frames``: ``(2, 3, H, W)`` uint8, the input in RGB;
            - ``reconstruction``: ``(2, 3, H, W)`` uint8, predicted pixels at hidden patches and the input elsewhere;
              where targets are normalized, a patch gets its true mean and deviation back. A past frame that the decoder
              does not predict is left as it is;
            - ``mask``: ``(2, H, W)`` bool, True where hidden;
            - ``error``: squared error on hidden patches that the decoder predicts, in units of the target: the loss of
              this pair;
            - ``constant_error``: the same for predicting each patch's mean (about 1 for normalized targets).
        """
        out = self.forward_pretrain(inputs, self._noise(inputs, data_samples))
        grid, covered = self._grid(inputs), out.pred.shape[1]
        patches = self.head.patchify(inputs)
        true, pred, hidden = patches[:, -covered:], out.pred.float(), out.mask[:, -covered:]

        target = self.head.normalize(true)
        constant = target.mean(-1, keepdim=True)
        errors, constant_errors = (
            ((guess - target).square().mean(-1) * hidden).sum(1) / hidden.sum(1).clamp(min=1)
            for guess in (pred, constant)
        )
        filled = torch.where(hidden[..., None] > 0, self.head.denormalize(pred, true), true)
        filled = self.head.unpatchify(torch.cat((patches[:, :-covered], filled), dim=1), grid)
        mask = self.head.unpatchify(out.mask[..., None].expand_as(patches), grid)[:, :, 0] > 0

        results = dict(
            frames=self._pixels(inputs),
            reconstruction=self._pixels(filled),
            mask=mask,
            error=errors,
            constant_error=constant_errors,
        )
        data_samples = data_samples or [DataSample() for _ in inputs]
        for i, sample in enumerate(data_samples):
            for name, values in results.items():
                sample.set_field(values[i], name)
        return data_samples

    def _grid(self, frames: Tensor) -> tuple[int, int]:
        return tuple(size // self.backbone.patch_size for size in frames.shape[-2:])

    def _noise(self, frames: Tensor, data_samples: list[DataSample] | None) -> Tensor | None:
        """Masking noise from the seeds of the pairs; None where they have none."""
        if not data_samples or 'seed' not in data_samples[0]:
            return None
        seeds = torch.tensor([sample.seed for sample in data_samples], device=frames.device)
        rows, columns = self._grid(frames)
        return seeded_uniform(seeds, 2 * rows * columns)

    def _pixels(self, frames: Tensor) -> Tensor:
        """Undo the normalization of frames ``(N, 2, 3, H, W)``: uint8 RGB."""
        preprocessor = self.data_preprocessor
        if hasattr(preprocessor, 'mean'):
            frames = frames * preprocessor.std + preprocessor.mean
        return frames.round().clamp(0, 255).to(torch.uint8)


@MODELS.register_module()
class DropMAE(PairMAE):
    """DropMAE (arXiv 2304.00571): joint masking and encoding of both frames, adaptive spatial-attention dropout in the
    decoder.

    75 % of the tokens of both frames together are hidden, identity embeddings tell the frames apart in encoder and
    decoder, there is no class token, and P = 0.1. The arguments are those of :class:`PairMAE`; the size is the
    backbone's (ViT-B/16 in the paper).
    """

    recipe = {
        **PairMAE.recipe,
        'backbone': dict(type='mmvidmae.PairMAEViT', encoding='joint', frame_embed=True, with_cls_token=False),
        'masking': dict(type='mmvidmae.JointRandomMasking', mask_ratio=0.75),
        'neck': dict(type='mmvidmae.JointPairDecoder', frame_embed=True, spatial_drop=0.1),
    }


@MODELS.register_module()
class TwinMAE(DropMAE):
    """TwinMAE, the baseline of the DropMAE paper: the same model without attention dropout."""

    recipe = {
        **DropMAE.recipe,
        'neck': dict(type='mmvidmae.JointPairDecoder', frame_embed=True, spatial_drop=0.0),
    }


@MODELS.register_module()
class SiamMAE(PairMAE):
    """SiamMAE (arXiv 2305.14344): the past frame is seen whole, 95 % of the future frame is hidden and predicted from
    both.

    A siamese encoder with a class token and no identity embeddings, and the cross-self decoder. The arguments are those
    of :class:`PairMAE`; the size is the backbone's (ViT-S/16 or S/8 in the paper).
    """

    recipe = {
        **PairMAE.recipe,
        'backbone': dict(
            type='mmvidmae.PairMAEViT', arch='small', encoding='siamese', frame_embed=False, with_cls_token=True
        ),
        'masking': dict(type='mmvidmae.AsymmetricMasking', mask_ratio=(0.0, 0.95)),
        'neck': dict(type='mmvidmae.CrossPairDecoder', preset='paper', variant='cross-self'),
    }
