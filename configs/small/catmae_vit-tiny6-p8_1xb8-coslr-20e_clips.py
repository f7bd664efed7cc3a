# CatMAE at the same size. A clip has three frames: the same number of pictures is fewer clips.
_base_ = [
    '../_base_/models/catmae.py',
    '../_base_/models/tiny6.py',
    '../_base_/datasets/small.py',
    '../_base_/datasets/pipelines/catmae.py',
    '../_base_/schedules/adamw_siammae.py',
    '../_base_/schedules/coslr_20e.py',
    '../_base_/default_runtime.py',
]

model = dict(
    backbone=_base_.tiny6,
    neck=dict(decoder_dims=128, depth=4, num_heads=4, feedforward_channels=None),  # four times the width
)

# Clips of a second or two: each frame up to 12 after the one before it.
train_pipeline = _base_.train_pipeline
train_pipeline[0].update(gap=(1, 12), span=(0.0, 0.8))
train_pipeline[2].size = 96
val_pipeline = _base_.val_pipeline
val_pipeline[0].update(gap=(1, 12), span=(0.8, 1.0))
val_pipeline[2].size = val_pipeline[3].size = 96
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=val_pipeline))
test_dataloader = val_dataloader

optim_wrapper = dict(type='OptimWrapper', optimizer=dict(lr=1e-3))  # fp32, as it is meant for a CPU
default_hooks = dict(checkpoint=dict(interval=5, max_keep_ckpts=-1))
