# CatMAE, ViT-S/16, Kinetics-400, 300 effective epochs (github.com/minhoooo1/CatMAE at 0fb1f60). 128 videos on each of 8
# GPUs, 2 clips of each: 2048 clips in a step.
_base_ = [
    '../_base_/models/catmae.py',
    '../_base_/datasets/k400.py',
    '../_base_/datasets/pipelines/catmae.py',
    '../_base_/schedules/adamw_catmae.py',
    '../_base_/schedules/coslr_400e.py',
    '../_base_/default_runtime.py',
]

train_dataloader = dict(batch_size=128, dataset=dict(repeated_sampling=2, pipeline=_base_.train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=_base_.val_pipeline))
test_dataloader = val_dataloader

# 150 passes over 2 clips of each video, 5 of them warm-up (configs/pretrain_catmae_vit-s-16.json:7-8)
param_scheduler = _base_.param_scheduler
param_scheduler[0].end = param_scheduler[1].begin = 10
param_scheduler[1].end = 300
train_cfg = dict(max_epochs=300)
