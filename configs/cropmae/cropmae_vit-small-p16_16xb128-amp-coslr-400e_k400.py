# CropMAE, ViT-S/16, single frames of Kinetics-400, 400 epochs. 128 videos on each of 16 GPUs, one pair of each.
_base_ = [
    '../_base_/models/cropmae.py',
    '../_base_/datasets/k400.py',
    '../_base_/datasets/pipelines/cropmae.py',
    '../_base_/schedules/adamw_cropmae.py',
    '../_base_/schedules/coslr_400e.py',
    '../_base_/default_runtime.py',
]

train_pipeline = _base_.train_pipeline
train_pipeline[2].scale = ((0.5, 1.0), (0.3, 0.6))  # scripts/train_cropmae_k400.sh:81-84
train_dataloader = dict(batch_size=128, dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=train_pipeline))
test_dataloader = val_dataloader

# Warm-up of 5 % of the epochs (scripts/train_cropmae_k400.sh:93).
param_scheduler = _base_.param_scheduler
param_scheduler[0].end = param_scheduler[1].begin = 20
