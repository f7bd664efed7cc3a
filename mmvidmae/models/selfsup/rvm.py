"""RVM: recurrent video masked autoencoder."""

import torch
from mmpretrain.structures import DataSample
from torch import Tensor

from mmvidmae.registry import MODELS

from ..layers import require
from ..layers.blocks import TANH_GELU
from .pair_mae import PairMAE


@MODELS.register_module()
class RVM(PairMAE):
    """RVM, Recurrent Video Masked autoencoders (arXiv 2512.13684): a recurrent core over K source frames, from whose
    states each of M target frames is predicted.

    With the ViT f, the gated core of :class:`GatedCrossCore` and the visible 5 % of the target y_m::

        s_k = core(f(x_k), s_(k-1)),  k = 1 ... K,  s_0 = 0
        prediction of y_m = decoder(queries = f(visible y_m) among mask tokens + embedding of its time offset,
                                    memory = s_1 ... s_K)

    The loss is the squared error of plain pixels in 0..1 on the hidden patches, the mean over the targets. The state
    s_k is the feature of frame k. The code of the paper has no training: model and mask ratio are those of its demo,
    the loss is our reading (see ``configs/rvm/README.md``).

    The time offset of a target is its distance in frames from the first source, taken from ``frame_ids`` of the data
    samples. Without them the frames of a clip are one apart. Other numbers of frames need other ``branches`` and
    ``mask_ratio``. The arguments are those of :class:`PairMAE`.

    Raises:
        ValueError: If parts do not fit: besides the cases of :class:`PairMAE`, a source frame is masked or there is no
            target.

    Source: ``google-deepmind/representations4d@75aca30:colabs/rvm_inference_demo.ipynb``.
    """

    recipe = {
        **PairMAE.recipe,
        'num_frames': 8,
        'backbone': dict(type='mmvidmae.RecurrentViT', num_sources=4),
        'masking': dict(type='mmvidmae.AsymmetricMasking', mask_ratio=(0.0,) * 4 + (0.95,) * 4),
        'neck': dict(
            type='mmvidmae.CrossPairDecoder',
            order=('cross', 'ffn', 'self'),
            norm_memory=False,
            memory_pos_embed=False,
            act_cfg=TANH_GELU,
            flat_pos_embed=True,
            num_offsets=64,
            branches=tuple(
                dict(targets=(target,), memory=(0, 1, 2, 3), weight=0.25, name=f'frame{target}')
                for target in (4, 5, 6, 7)
            ),
        ),
        'head': dict(type='mmvidmae.PairReconstructionHead', norm_pix=False),
        'data_preprocessor': dict(
            type='mmpretrain.VideoDataPreprocessor', mean=[0.0] * 3, std=[255.0] * 3, format_shape='NCHW'
        ),
    }

    def _check_parts(self) -> None:
        sources = getattr(self.backbone, 'num_sources', 0)
        require(sources > 0, self, 'backbone', type(self.backbone).__name__, 'a RecurrentViT')
        least = f'below num_frames={self.num_frames}, which are sources and targets'
        require(sources < self.num_frames, self, 'num_sources', sources, least)
        super()._check_parts()
        masked = [frame for frame in range(sources) if self.masking.hides(frame)]
        if masked:
            raise ValueError(
                f'RVM: the core reads the first {sources} frames (backbone.num_sources) whole, but '
                f'{type(self.masking).__name__} hides tokens of frame {masked[0]}: set its mask_ratio to 0'
            )

    def extract_feat(self, inputs: Tensor) -> tuple[Tensor, ...]:
        """Extract the features ``(N, 1 + L, D)`` of each frame of clips ``(N, T, 3, H, W)``: the states of the core,
        which reads all frames in their order."""
        return self.backbone(inputs)

    def _draws(self, frames: Tensor, data_samples: list[DataSample] | None) -> dict[str, Tensor]:
        return {**super()._draws(frames, data_samples), 'offsets': self._offsets(frames, data_samples)}

    def _offsets(self, frames: Tensor, data_samples: list[DataSample] | None) -> Tensor | None:
        """Time offsets ``(N, T)`` from the frame numbers of the data samples, or None if they have none."""
        if not self.neck.num_offsets or not data_samples or 'frame_ids' not in data_samples[0]:
            return None
        ids = torch.tensor([list(sample.frame_ids) for sample in data_samples])
        offsets = ids - ids[:, :1]
        last = self.neck.num_offsets - 1
        if offsets.min() < 0 or offsets.max() > last:
            raise ValueError(
                f'RVM: frames {ids[((offsets < 0) | (offsets > last)).any(1)][0].tolist()} of a clip are not 0 to '
                f'{last} frames after the first: sample smaller gaps, or raise neck.num_offsets'
            )
        return offsets.to(frames.device)
