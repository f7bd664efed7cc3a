# RVM at the same size, with two sources and two targets. 2 clips of each video, for as many pictures in a step.
_base_ = [
    '../_base_/models/rvm.py',
    '../_base_/models/tiny6.py',
    '../_base_/datasets/small.py',
    '../_base_/datasets/pipelines/rvm.py',
    '../_base_/schedules/adamw_siammae.py',
    '../_base_/schedules/coslr_20e.py',
    '../_base_/default_runtime.py',
]

model = dict(
    num_frames=4,
    backbone=dict(_base_.tiny6, num_sources=2, core=dict(depth=2, feedforward_channels=768)),
    masking=dict(mask_ratio=(0.0, 0.0, 0.95, 0.95)),
    neck=dict(
        decoder_dims=128,
        depth=4,
        num_heads=4,
        feedforward_channels=None,  # four times the width
        branches=[
            dict(targets=(2,), memory=(0, 1), weight=0.5, name='frame2'),
            dict(targets=(3,), memory=(0, 1), weight=0.5, name='frame3'),
        ],
    ),
)

# Clips of a second or two: targets up to 24 frames after the last source.
train_pipeline = _base_.train_pipeline
train_pipeline[0].update(num_frames=4, num_sources=2, gap=(1, 24), span=(0.0, 0.8))
train_pipeline[2].size = 96
val_pipeline = _base_.val_pipeline
val_pipeline[0].update(num_frames=4, num_sources=2, gap=(1, 24), span=(0.8, 1.0))
val_pipeline[2].size = val_pipeline[3].size = 96
train_dataloader = dict(dataset=dict(repeated_sampling=2, pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=val_pipeline))
test_dataloader = val_dataloader

optim_wrapper = dict(type='OptimWrapper', optimizer=dict(lr=1e-3))  # fp32, as it is meant for a CPU
default_hooks = dict(checkpoint=dict(interval=5, max_keep_ckpts=-1))
