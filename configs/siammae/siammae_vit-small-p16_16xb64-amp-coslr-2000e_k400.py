# SiamMAE, ViT-S/16, Kinetics-400, 2000 effective epochs (the paper's main table). 64 videos on each of 16 GPUs, 2 pairs
# of each: 2048 pairs in a step.
_base_ = [
    '../_base_/models/siammae.py',
    '../_base_/datasets/k400.py',
    '../_base_/datasets/pipelines/siammae.py',
    '../_base_/schedules/adamw_siammae.py',
    '../_base_/schedules/coslr_2000e.py',
    '../_base_/default_runtime.py',
]

train_dataloader = dict(batch_size=64, dataset=dict(repeated_sampling=2, pipeline=_base_.train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=_base_.val_pipeline))
test_dataloader = val_dataloader
