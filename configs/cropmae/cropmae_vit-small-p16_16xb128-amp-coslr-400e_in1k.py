# CropMAE, ViT-S/16, ImageNet, 400 epochs. 128 pictures on each of 16 GPUs, one pair of views of each.
_base_ = [
    '../_base_/models/cropmae.py',
    '../_base_/datasets/imagenet.py',
    '../_base_/datasets/pipelines/cropmae.py',
    '../_base_/schedules/adamw_cropmae.py',
    '../_base_/schedules/coslr_400e.py',
    '../_base_/default_runtime.py',
]

train_dataloader = dict(batch_size=128, dataset=dict(pipeline=_base_.train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=_base_.val_pipeline))
test_dataloader = val_dataloader

# Warm-up of 5 % of the epochs (scripts/train_cropmae_in.sh:92).
param_scheduler = _base_.param_scheduler
param_scheduler[0].end = param_scheduler[1].begin = 20
