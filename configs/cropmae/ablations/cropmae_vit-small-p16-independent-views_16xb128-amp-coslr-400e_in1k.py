# Two independent crops of the picture (data/util/CropMAEStrategies.py:80).
_base_ = '../cropmae_vit-small-p16_16xb128-amp-coslr-400e_in1k.py'

train_pipeline = _base_.train_pipeline
train_pipeline[2].update(crops='independent', scale=((0.1, 1.0), (0.1, 1.0)))
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=train_pipeline))
test_dataloader = val_dataloader
