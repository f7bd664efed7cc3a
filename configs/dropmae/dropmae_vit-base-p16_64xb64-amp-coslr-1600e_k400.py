# DropMAE, ViT-B/16, Kinetics-400, 1600 epochs: the weights that the authors published.
_base_ = [
    '../_base_/models/dropmae.py',
    '../_base_/datasets/k400.py',
    '../_base_/datasets/pipelines/dropmae.py',
    '../_base_/schedules/adamw_dropmae.py',
    '../_base_/schedules/coslr_1600e.py',
    '../_base_/default_runtime.py',
]

train_dataloader = dict(batch_size=64, dataset=dict(pipeline=_base_.train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=_base_.val_pipeline))
test_dataloader = val_dataloader
