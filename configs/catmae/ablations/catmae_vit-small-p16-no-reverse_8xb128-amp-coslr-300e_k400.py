# All clips forward, as in the configs of the authors' code (`use_vire` false).
_base_ = '../catmae_vit-small-p16_8xb128-amp-coslr-300e_k400.py'

train_pipeline = _base_.train_pipeline
train_pipeline[0].reverse = 0.0
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
