"""Masked autoencoders on the frames of a clip: the common algorithm, DropMAE, TwinMAE and SiamMAE."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from mmpretrain.models.selfsup.base import BaseSelfSupervisor
from mmpretrain.structures import DataSample
from torch import Tensor

from mmvidmae.registry import MODELS

from ..masking import mask_by_noise, seeded_uniform


class PairMAEOutput(NamedTuple):
    """Output of a forward pass over N clips of T frames, with L patches of side p per frame.

    Attributes:
        latent: For each mask, the encoder's output ``(N, K, D)`` for the visible tokens after the final norm, class
            token first.
        mask: Mask ``(N, T L)`` float32, 1 where a patch is hidden, frame 0 first.
        ids_restore: For each mask, the rank of each token in the order (visible, hidden): ``(N, T L)`` for a joint
            mask, ``(N, L)`` for per-frame masks.
        preds: For each branch of the decoder, the prediction ``(N, P, p * p * 3)`` of its target frames.
        losses: Weighted losses by name. Their sum is the training loss.
    """

    latent: tuple[Tensor, ...]
    mask: Tensor
    ids_restore: tuple[Tensor, ...]
    preds: tuple[Tensor, ...]
    losses: dict[str, Tensor]

    @property
    def pred(self) -> Tensor:
        """Prediction of the first branch."""
        return self.preds[0]

    @property
    def loss(self) -> Tensor:
        """Training loss, a scalar."""
        return sum(self.losses.values())


def _select(clips: Tensor, frames: Sequence[int]) -> Tensor:
    """Select frames of clips ``(N, T, ...)``. All frames are selected without a copy."""
    return clips if list(frames) == list(range(clips.shape[1])) else clips[:, list(frames)]


def compiled(forward: Callable, options: bool | dict) -> Callable:
    """Compile the ``forward_pretrain`` of a class if ``options`` is True, or a dict of options of ``torch.compile``.

    The function is unbound, so that a copied model calls itself.
    """
    return forward if options is False else torch.compile(forward, **({} if options is True else options))


def merge_part(default: dict, given: dict | None) -> dict:
    """Merge the user's config of a part into the default. A different ``type`` replaces the default completely."""
    given = dict(given or {})
    if given.get('type', default['type']) != default['type']:
        return given
    return {**default, **given}


@MODELS.register_module()
class PairMAE(BaseSelfSupervisor):
    """Masked autoencoder on the T frames of a clip. A frame pair is T = 2.

    These choices define a method: the masking (``masking``), joint or siamese encoding (``backbone.encoding``), frame
    identity embeddings (``frame_embed`` of backbone and neck), the decoder (``neck``), and the ``branches`` of a
    :class:`CrossPairDecoder`: which frame is predicted from which. All combinations can be configured.
    :class:`DropMAE`, :class:`TwinMAE` and :class:`SiamMAE` are published ones.

    A class states its method in ``recipe``, one dict for each argument. The dicts of a config are merged into it; a
    dict with another ``type`` replaces it. The width, patch grid, patch size, class token and number of frames of the
    parts are filled in.

    Args:
        num_frames: Number T of frames in a clip, 2 by default.
        backbone: Config of :class:`PairMAEViT`.
        masking: Config of a masking strategy.
        neck: Config of a decoder.
        head: Config of :class:`PairReconstructionHead`.
        data_preprocessor: Config of the preprocessor. By default, RGB frames are normalized with ImageNet's statistics
            on the device.
        compile: Whether training runs :meth:`forward_pretrain` through ``torch.compile`` as one graph, or a dict with
            options of ``torch.compile``. Data samples and the optimizer are not compiled.
        init_cfg: Initialization config of MMEngine.

    Raises:
        ValueError: If parts do not fit. The masking is joint but the encoder or decoder needs a fixed number of visible
            tokens in each frame. The masking is for another number of frames. No patch that the decoder predicts is
            hidden. A branch reads a frame that is not there.
    """

    recipe: dict[str, Any] = dict(
        num_frames=2,
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

    samples_token = False
    """Whether the algorithm gives the decoder a sampled token."""

    def __init__(
        self,
        backbone: dict | None = None,
        masking: dict | None = None,
        neck: dict | None = None,
        head: dict | None = None,
        data_preprocessor: dict | None = None,
        num_frames: int | None = None,
        compile: bool | dict = False,
        init_cfg: dict | None = None,
    ) -> None:
        num_frames = self.recipe['num_frames'] if num_frames is None else num_frames
        encoder = MODELS.build({'num_frames': num_frames, **merge_part(self.recipe['backbone'], backbone)})
        shared = dict(
            embed_dims=encoder.embed_dims,
            grid=encoder.patch_resolution,
            patch_size=encoder.patch_size,
            with_cls_token=encoder.with_cls_token,
            num_frames=num_frames,
        )
        super().__init__(
            backbone=encoder,
            neck=MODELS.build({**shared, **merge_part(self.recipe['neck'], neck)}),
            head=MODELS.build({'patch_size': encoder.patch_size, **merge_part(self.recipe['head'], head)}),
            data_preprocessor=merge_part(self.recipe['data_preprocessor'], data_preprocessor),
            init_cfg=init_cfg,
        )
        self.num_frames = num_frames
        self.masking = MODELS.build(merge_part(self.recipe['masking'], masking))
        self._forward_pretrain = compiled(type(self).forward_pretrain, compile)
        self._check_parts()

    def _check_parts(self) -> None:
        masking = type(self.masking).__name__
        if self.masking.joint and (self.backbone.encoding == 'siamese' or not self.neck.accepts_joint_mask):
            raise ValueError(
                f'{masking} hides tokens of all frames together, but a siamese encoder and {type(self.neck).__name__} '
                'need a fixed number of visible tokens in each frame: use PerFrameRandomMasking, AsymmetricMasking or '
                'GridMasking'
            )
        if self.masking.num_frames not in (None, self.num_frames):
            raise ValueError(
                f'{masking} is for clips of {self.masking.num_frames} frames, but num_frames={self.num_frames}: give '
                'the masking one value for each frame'
            )
        for branch in self.neck.branches:
            if branch.sampled_token and not self.samples_token:
                raise ValueError(
                    f'{type(self).__name__} draws no token, but a branch has sampled_token=True: use RSP, or set it to '
                    'False'
                )
            if branch.over == 'hidden' and not any(self.masking.hides(frame) for frame in branch.targets):
                frames = ' and '.join(map(str, branch.targets))
                raise ValueError(
                    f'{masking} hides nothing of frame {frames}, and the loss of {type(self.neck).__name__} is over '
                    'hidden patches: give it a mask_ratio above 0, or a stride above 1'
                )

    def extract_feat(self, inputs: Tensor) -> tuple[Tensor, ...]:
        """Extract the features ``(N, L, D)`` of each frame from clips ``(N, T, 3, H, W)``, with nothing hidden.

        The number of class tokens is as in training: with per-frame masking, one before the tokens of each frame. With
        joint masking and encoding, one before those of frame 0.
        """
        if self.masking.joint:
            return self.backbone(inputs)
        rows, columns = self._grid(inputs)
        whole = mask_by_noise(inputs.new_zeros(inputs.shape[0], rows * columns), rows * columns)
        return self.backbone(inputs, (whole,) * inputs.shape[1])

    def forward_pretrain(
        self,
        frames: Tensor,
        noise: Tensor | None = None,
        drop_masks: Sequence[Tensor] | None = None,
        offsets: Tensor | None = None,
    ) -> PairMAEOutput:
        """Run one forward pass of pre-training: masking, encoder, decoder and loss. Training, tools and parity checks
        share this method.

        Args:
            frames: Normalized clips ``(N, T, 3, H, W)``, for SiamMAE the past frame first. H and W are divisible by the
                patch size.
            noise: Uniform masking noise ``(N, T L)``, frame 0 first. Tokens with the smallest noise are visible. By
                default it is drawn from torch's generator.
            drop_masks: For each decoder block, a boolean mask ``(N, heads or 1, 2 L, 2 L)`` of attention to drop, to
                repeat given draws of ASAD (:class:`JointPairDecoder` only). By default, drops are drawn in training and
                nothing is dropped in evaluation.
            offsets: Time offsets ``(N, T)`` of the frames to the first one (:class:`CrossPairDecoder` only).

        Returns:
            Latents, masks, predictions and losses.
        """
        grid = self._grid(frames)
        if noise is None:
            noise = torch.rand(frames.shape[0], frames.shape[1] * grid[0] * grid[1], device=frames.device)
        masks = self.masking(noise, grid)
        latent = self.backbone(frames, masks)
        given = dict(drop_masks=drop_masks, offsets=offsets)
        preds = self.neck(latent, masks, grid, **{name: x for name, x in given.items() if x is not None})
        mask = torch.cat([group.mask for group in masks], dim=1)
        losses = self._losses(preds, frames, mask)
        return PairMAEOutput(latent, mask, tuple(group.ids_restore for group in masks), preds, losses)

    def _losses(self, preds: Sequence[Tensor], frames: Tensor, mask: Tensor) -> dict[str, Tensor]:
        """Weighted reconstruction loss of each branch."""
        losses = {}
        for branch, pred in zip(self.neck.branches, preds):
            hidden = _select(mask.unflatten(1, (frames.shape[1], -1)), branch.targets).flatten(1)
            counted = hidden if branch.over == 'hidden' else torch.ones_like(hidden)
            loss = self.head.loss(pred, _select(frames, branch.targets), counted)
            losses[branch.loss_name] = loss if branch.weight == 1 else branch.weight * loss
        return losses

    def forward(
        self, inputs: Tensor, data_samples: list[DataSample] | None = None, mode: str = 'tensor'
    ) -> tuple[Tensor, ...] | dict[str, Tensor] | list[DataSample]:
        """Entry point of MMEngine.

        Args:
            inputs: Normalized clips ``(N, T, 3, H, W)``.
            data_samples: N data samples. If a data sample has a ``seed``, it determines the mask of its clip.
            mode: ``'tensor'`` returns the encoder's features of the whole clip, see :meth:`extract_feat`. ``'loss'``
                returns a dict of losses, see :meth:`loss`. ``'predict'`` returns N data samples, see :meth:`predict`.
        """
        if mode == 'predict':
            return self.predict(inputs, data_samples)
        return super().forward(inputs, data_samples, mode)

    def loss(self, inputs: Tensor, data_samples: list[DataSample] | None = None) -> dict[str, Tensor]:
        """Compute the training losses of clips ``(N, T, 3, H, W)``: ``loss``, or ``loss_<name>`` for each of several
        branches. MMEngine optimizes their sum."""
        return self._forward_pretrain(self, inputs, **self._draws(inputs, data_samples)).losses

    @torch.no_grad()
    def predict(self, inputs: Tensor, data_samples: list[DataSample] | None = None) -> list[DataSample]:
        """Reconstruct clips ``(N, T, 3, H, W)``. If several branches predict a frame, the first one counts.

        Returns:
            The N data samples with these fields:

            - ``frames``: ``(T, 3, H, W)`` uint8, the input in RGB;
            - ``reconstruction``: ``(T, 3, H, W)`` uint8, predicted pixels at the patches that the loss covers (hidden
              ones, or all) and the input elsewhere. If targets are normalized, the true mean and standard deviation of
              each patch are restored. A frame that the decoder does not predict is unchanged;
            - ``mask``: ``(T, H, W)`` bool, True where hidden;
            - ``error``: squared error on the patches that the loss covers, in units of the target. With one branch,
              this is the loss of the clip;
            - ``constant_error``: the same error for predicting each patch's mean (about 1 for normalized targets).
        """
        out = self.forward_pretrain(inputs, **self._draws(inputs, data_samples))
        grid, num_frames = self._grid(inputs), inputs.shape[1]
        patches, hidden = self.head.patchify(inputs), out.mask.unflatten(1, (num_frames, -1))
        true = patches.unflatten(1, (num_frames, -1))
        pred, predicted = torch.zeros_like(true), torch.zeros_like(hidden)
        for branch, values in reversed(list(zip(self.neck.branches, out.preds))):
            pred[:, branch.targets] = values.float().unflatten(1, (len(branch.targets), -1))
            predicted[:, branch.targets] = hidden[:, branch.targets] if branch.over == 'hidden' else 1.0

        target = self.head.normalize(true)
        constant = target.mean(-1, keepdim=True)
        count = predicted.sum((1, 2)).clamp(min=1)
        errors, constant_errors = (
            ((guess - target).square().mean(-1) * predicted).sum((1, 2)) / count for guess in (pred, constant)
        )
        filled = torch.where(predicted[..., None] > 0, self.head.denormalize(pred, true), true)
        mask = self.head.unpatchify(out.mask[..., None].expand_as(patches), grid)[:, :, 0] > 0

        results = dict(
            frames=self._pixels(inputs),
            reconstruction=self._pixels(self.head.unpatchify(filled.flatten(1, 2), grid)),
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

    def _seeds(self, frames: Tensor, data_samples: list[DataSample] | None) -> Tensor | None:
        """Seeds of the clips ``(N,)``, or None if they have no seeds."""
        if not data_samples or 'seed' not in data_samples[0]:
            return None
        return torch.tensor([sample.seed for sample in data_samples], device=frames.device)

    def _draws(self, frames: Tensor, data_samples: list[DataSample] | None) -> dict[str, Tensor]:
        """Random draws of :meth:`forward_pretrain` that follow from the seeds of the clips: the masking noise."""
        seeds = self._seeds(frames, data_samples)
        rows, columns = self._grid(frames)
        return {} if seeds is None else dict(noise=seeded_uniform(seeds, frames.shape[1] * rows * columns))

    def _pixels(self, frames: Tensor) -> Tensor:
        """Convert normalized frames ``(N, T, 3, H, W)`` to uint8 RGB."""
        preprocessor = self.data_preprocessor
        if hasattr(preprocessor, 'mean'):
            frames = frames * preprocessor.std + preprocessor.mean
        return frames.round().clamp(0, 255).to(torch.uint8)


@MODELS.register_module()
class DropMAE(PairMAE):
    """DropMAE (arXiv 2304.00571): joint masking and encoding of both frames, adaptive spatial-attention dropout in the
    decoder.

    75 % of the tokens of both frames together are hidden. Identity embeddings distinguish the frames in encoder and
    decoder. There is no class token, and P = 0.1. The arguments are those of :class:`PairMAE`. The backbone sets the
    model size (ViT-B/16 in the paper).
    """

    recipe = {
        **PairMAE.recipe,
        'backbone': dict(type='mmvidmae.PairMAEViT', encoding='joint', frame_embed=True, with_cls_token=False),
        'masking': dict(type='mmvidmae.JointRandomMasking', mask_ratio=0.75),
        'neck': dict(type='mmvidmae.JointPairDecoder', frame_embed=True, spatial_drop=0.1),
    }


@MODELS.register_module()
class TwinMAE(DropMAE):
    """TwinMAE, the baseline of the DropMAE paper: DropMAE without spatial-attention dropout."""

    recipe = {
        **DropMAE.recipe,
        'neck': dict(type='mmvidmae.JointPairDecoder', frame_embed=True, spatial_drop=0.0),
    }


@MODELS.register_module()
class SiamMAE(PairMAE):
    """SiamMAE (arXiv 2305.14344): nothing of the past frame and 95 % of the future frame is hidden. The future frame is
    predicted from both.

    The siamese encoder has a class token and no identity embeddings. The decoder is the cross-self decoder. The
    arguments are those of :class:`PairMAE`. The backbone sets the model size (ViT-S/16 or S/8 in the paper).
    """

    recipe = {
        **PairMAE.recipe,
        'backbone': dict(
            type='mmvidmae.PairMAEViT', arch='small', encoding='siamese', frame_embed=False, with_cls_token=True
        ),
        'masking': dict(type='mmvidmae.AsymmetricMasking', mask_ratio=(0.0, 0.95)),
        'neck': dict(type='mmvidmae.CrossPairDecoder', branches=(dict(targets=(1,), memory=(0,)),)),
    }
