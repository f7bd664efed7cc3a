# SiamMAE as CropMAE reproduces it, ViT-S/16, Kinetics-400, at the paper's 2000 epochs. 128 videos on each of 16 GPUs,
# one pair of each.
_base_ = [
    '../_base_/methods/siammae_cropmae.py',
    '../_base_/datasets/k400.py',
    '../_base_/schedules/coslr_2000e.py',
    '../_base_/default_runtime.py',
]

train_dataloader = dict(batch_size=128, dataset=dict(pipeline=_base_.train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=_base_.val_pipeline))
test_dataloader = val_dataloader

# Warm-up of 5 % of the epochs (20 of CropMAE's 400).
param_scheduler = [
    dict(type='mmvidmae.LinearLR', start_factor=1e-9, by_epoch=True, begin=0, end=100, convert_to_iter_based=True),
    dict(type='CosineAnnealingLR', T_max=1900, by_epoch=True, begin=100, end=2000, convert_to_iter_based=True),
]
