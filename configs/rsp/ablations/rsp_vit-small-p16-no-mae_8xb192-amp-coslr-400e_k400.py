# Prediction of the future frame alone, without the masked autoencoder of it.
_base_ = '../rsp_vit-small-p16_8xb192-amp-coslr-400e_k400.py'

model = dict(
    neck=dict(
        frame_projections=False,  # the target needs none
        branches=(dict(targets=(1,), memory=(0,), sampled_token=True, queries='mask', over='all', name='future'),),
    )
)
