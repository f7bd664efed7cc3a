# The third frame is predicted from the first alone, without what is visible of the second.
_base_ = '../catmae_vit-small-p16_8xb128-amp-coslr-300e_k400.py'

model = dict(
    neck=dict(
        branches=(
            dict(targets=(1,), memory=(0,), weight=0.8, name='second'),
            dict(targets=(2,), memory=(0,), weight=1.0, name='third'),
        )
    )
)
