"""CropMAE: one crop of a picture is predicted from another."""

from mmvidmae.registry import MODELS

from .pair_mae import SiamMAE


@MODELS.register_module()
class CropMAE(SiamMAE):
    r"""CropMAE (arXiv 2403.17823, section 3): SiamMAE on two crops of one picture, in place of two frames of a video.

    The source :math:`x_0` is a crop of a picture. The target :math:`x_1` is a crop of the source
    (:class:`PictureViews`). The source is whole, and of the target only the part :math:`v_1` is visible, 2 of 196
    patches. The decoder :math:`D` reads the encoded source in its cross-attention:

    .. math::
        \hat x_1 = D(E(v_1) \text{ restored among mask tokens};\ E(x_0)),
        \qquad \mathcal{L} = \mathcal{L}_\text{hidden}(\hat x_1)

    To predict the target, the model has to find where it lies in the source, and how it was scaled and flipped.

    The decoder is that of the authors' own SiamMAE: 4 blocks, 256 wide, post-norm, feed-forward before
    self-attention, no positions on the memory (alexandre-eymael/CropMAE@5d0dab2:models/SiamMAE.py:99,139,
    models/components/DecoderBlock.py:42-105). The arguments are those of :class:`PairMAE`. The backbone sets the model
    size (ViT-S/16 in the paper).
    """

    recipe = {
        **SiamMAE.recipe,
        'masking': dict(type='mmvidmae.AsymmetricMasking', mask_ratio=(0.0, 0.985)),
        'neck': dict(
            type='mmvidmae.CrossPairDecoder',
            decoder_dims=256,
            depth=4,
            num_heads=8,
            feedforward_channels=2048,
            order=('cross', 'ffn', 'self'),
            norm_first=False,
            memory_pos_embed=False,
            dropout=0.1,
            packed_init=True,
            branches=(dict(targets=(1,), memory=(0,)),),
        ),
    }
