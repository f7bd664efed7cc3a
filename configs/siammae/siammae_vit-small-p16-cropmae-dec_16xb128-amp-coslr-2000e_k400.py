# SiamMAE as CropMAE reproduces it, ViT-S/16, Kinetics-400, at the paper's 2000 epochs. 128 videos on each of 16 GPUs,
# one pair of each.
_base_ = [
    '../_base_/models/siammae_cropmae.py',
    '../_base_/datasets/k400.py',
    '../_base_/datasets/pipelines/siammae_cropmae.py',
    '../_base_/schedules/adamw_siammae_cropmae.py',
    '../_base_/schedules/coslr_2000e.py',
    '../_base_/default_runtime.py',
]

train_dataloader = dict(batch_size=128, dataset=dict(pipeline=_base_.train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=_base_.val_pipeline))
test_dataloader = val_dataloader

# Warm-up of 5 % of the epochs (20 of CropMAE's 400).
param_scheduler = _base_.param_scheduler
param_scheduler[0].end = param_scheduler[1].begin = 100
