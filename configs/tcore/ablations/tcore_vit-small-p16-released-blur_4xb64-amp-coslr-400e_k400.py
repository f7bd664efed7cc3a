# Blur as the authors' code applies it: with one minus the probability asked for
# (github.com/yafeng19/T-CORE 67c8bf9:base_model/data/transforms.py:6-9).
_base_ = '../tcore_vit-small-p16_4xb64-amp-coslr-400e_k400.py'

train_pipeline = _base_.train_pipeline
train_pipeline[2].blur_prob = (0.0, 0.9, 0.5)
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
