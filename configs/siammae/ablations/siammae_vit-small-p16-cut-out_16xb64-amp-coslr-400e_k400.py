# A box of 10 to 30 % of the past frame is replaced by the mean color: its content is not to be copied.
_base_ = '../siammae_vit-small-p16_16xb64-amp-coslr-400e_k400.py'

train_pipeline = _base_.train_pipeline
train_pipeline.insert(-1, dict(type='mmvidmae.FrameCutOut', frames=(0,), scale=(0.1, 0.3)))
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
