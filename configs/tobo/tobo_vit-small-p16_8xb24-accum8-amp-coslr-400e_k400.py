# ToBo, ViT-S/16, Kinetics-400, 400 effective epochs (200 passes with 2 pairs of each video). 24 videos on each of 8
# GPUs, accumulated over 8 iterations.
_base_ = [
    '../_base_/models/tobo.py',
    '../_base_/datasets/k400.py',
    '../_base_/datasets/pipelines/tobo.py',
    '../_base_/schedules/adamw_tobo.py',
    '../_base_/schedules/coslr_400e.py',
    '../_base_/default_runtime.py',
]

train_dataloader = dict(batch_size=24, dataset=dict(repeated_sampling=2, pipeline=_base_.train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=_base_.val_pipeline))
test_dataloader = val_dataloader
