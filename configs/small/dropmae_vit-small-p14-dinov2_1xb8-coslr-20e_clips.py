# DropMAE started from DINOv2 ViT-S/14: 112 px, a small decoder, bfloat16 on CPUs that have it.
_base_ = [
    '../_base_/models/dropmae.py',
    '../_base_/models/dinov2_start.py',
    '../_base_/datasets/small.py',
    '../_base_/datasets/pipelines/dropmae.py',
    '../_base_/schedules/adamw_dropmae.py',
    '../_base_/schedules/coslr_20e.py',
    '../_base_/default_runtime.py',
]

model = dict(
    backbone=_base_.dinov2_start,
    neck=dict(decoder_dims=192, depth=4, num_heads=6),
)

# Clips of a second or two: frames up to 24 apart.
train_pipeline = _base_.train_pipeline
train_pipeline[0].update(gap=(1, 24), draw_first='gap', span=(0.0, 0.8))
train_pipeline[2].size = 112
val_pipeline = _base_.val_pipeline
val_pipeline[0].update(gap=(1, 24), draw_first='gap', span=(0.8, 1.0))
val_pipeline[2].size = val_pipeline[3].size = 112
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=val_pipeline))
test_dataloader = val_dataloader

optim_wrapper = _base_.dinov2_optim_wrapper
default_hooks = dict(checkpoint=dict(interval=1, max_keep_ckpts=-1))
