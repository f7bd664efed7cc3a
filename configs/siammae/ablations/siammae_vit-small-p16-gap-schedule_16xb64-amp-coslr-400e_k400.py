# The largest gap grows from 16 frames to 96 at epoch 300.
_base_ = '../siammae_vit-small-p16_16xb64-amp-coslr-400e_k400.py'

train_pipeline = _base_.train_pipeline
train_pipeline[0].gap_schedule = ((0, 16), (300, 96))
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
