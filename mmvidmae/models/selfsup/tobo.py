"""ToBo: the source frame in one token."""

from mmvidmae.registry import MODELS

from .pair_mae import SiamMAE


@MODELS.register_module()
class ToBo(SiamMAE):
    r"""ToBo (token bottleneck, arXiv 2507.06543): SiamMAE with a second prediction, from the class token alone.

    The source :math:`x_0` is whole. Of the target :math:`x_1` a tenth :math:`v_1` is visible. One encoder :math:`E`
    gives class tokens :math:`c` and patch tokens. The same decoder :math:`D` runs twice on the patch tokens of the
    target, restored among mask tokens, :math:`t_1 = [E(v_1), m]`:

    .. math::
        \hat x_1 &= D([c_1, t_1];\ [c_0, E(x_0)]) && \text{patch branch: cross-attention to the source} \\
        \tilde x_1 &= D([c_0, t_1]) && \text{bottleneck branch: no cross-attention} \\
        \mathcal{L} &= \mathcal{L}_\text{hidden}(\hat x_1) + \mathcal{L}_\text{hidden}(\tilde x_1)

    In the second branch the class token of the source stands in the place of the target's. It is all that the branch
    knows of the source, so the encoder has to compress the source frame into it. The blocks are the same: their
    cross-attention is skipped. No gradient is stopped.

    The arguments are those of :class:`PairMAE`. The backbone sets the model size (S, B, L/16 in the authors' code,
    naver-ai/tobo@fa41194:models_tobo.py:354-446).
    """

    recipe = {
        **SiamMAE.recipe,
        'masking': dict(type='mmvidmae.AsymmetricMasking', mask_ratio=(0.0, 0.9)),
        'neck': dict(
            type='mmvidmae.CrossPairDecoder',
            branches=(
                dict(targets=(1,), memory=(0,), name='patch'),
                dict(targets=(1,), memory=(), cls_token=0, name='bottleneck'),
            ),
        ),
    }
