# The global view is predicted from the local view (data/util/CropMAEStrategies.py:72).
_base_ = '../cropmae_vit-small-p16_16xb128-amp-coslr-400e_in1k.py'

train_pipeline = _base_.train_pipeline
train_pipeline[2].reverse = True
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=train_pipeline))
test_dataloader = val_dataloader
