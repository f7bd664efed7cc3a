# ToBo (arXiv 2507.06543; github.com/naver-ai/tobo at fa41194: file:line below).
#
# The class fixes the method: SiamMAE's encoder, decoder and loss, and a second branch that knows the source frame by
# its class token alone.
model = dict(
    type='mmvidmae.ToBo',
    backbone=dict(arch='small', img_size=224, patch_size=16),  # models_tobo.py:433-436
    masking=dict(mask_ratio=(0.0, 0.9)),  # docs/Train.md:11; 19 of 196 patches of the target are visible
    neck=dict(
        decoder_dims=512,  # models_tobo.py:433-446, also the next two
        depth=8,
        num_heads=16,
        branches=(
            dict(targets=(1,), memory=(0,), weight=1.0, name='patch'),  # weights: docs/Train.md:21-22
            dict(targets=(1,), memory=(), cls_token=0, weight=1.0, name='bottleneck'),
        ),
    ),
)
