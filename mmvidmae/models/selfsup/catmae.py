"""CatMAE: two future frames, the second predicted with the help of what is visible of the first."""

from mmvidmae.registry import MODELS

from .pair_mae import PairMAE


@MODELS.register_module()
class CatMAE(PairMAE):
    r"""CatMAE (arXiv 2311.00961, section 3): a chain of predictions over three frames.

    Nothing of frame 0 and 95 % of frames 1 and 2 is hidden. One siamese encoder :math:`E` with a class token encodes
    the visible tokens :math:`v_t` of each frame. The same decoder :math:`D` predicts frame 1 from frame 0, and frame 2
    from frame 0 and the visible tokens of frame 1:

    .. math::
        \hat x_1 &= D(q(E(v_1));\ E(v_0) + f_0) \\
        \hat x_2 &= D(q(E(v_2));\ [E(v_0) + f_0,\ E(v_1) + f_1]) \\
        \mathcal{L} &= 0.8\, \mathcal{L}_1 + \mathcal{L}_2

    Queries :math:`q` are all tokens of the target, visible ones among mask tokens. Queries and memory have position
    embeddings. Learned embeddings :math:`f_t` mark the frames in the memory only. Each loss is over hidden patches.
    The second loss also trains the encoder on frame 1, through the memory.

    The authors also train on clips in reverse order. The frame sampler does that. The arguments are those of
    :class:`PairMAE`. The defaults are the authors' ViT-S/16 (minhoooo1/CatMAE@0fb1f60:models_catmae.py:48,180,335-391).
    """

    recipe = {
        **PairMAE.recipe,
        'num_frames': 3,
        'backbone': dict(
            type='mmvidmae.PairMAEViT', arch='small', encoding='siamese', frame_embed=False, with_cls_token=True
        ),
        'masking': dict(type='mmvidmae.AsymmetricMasking', mask_ratio=(0.0, 0.95, 0.95)),
        'neck': dict(
            type='mmvidmae.CrossPairDecoder',
            decoder_dims=256,
            depth=4,
            num_heads=4,
            feedforward_channels=2048,
            order=('cross', 'ffn', 'self'),
            norm_first=False,
            eps=1e-5,
            memory_frame_embed=True,
            dropout=0.1,
            packed_init=True,
            branches=(
                dict(targets=(1,), memory=(0,), weight=0.8, name='second'),
                dict(targets=(2,), memory=(0, 1), weight=1.0, name='third'),
            ),
        ),
    }
