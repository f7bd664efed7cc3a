# DropMAE, ViT-B/16, Kinetics-400, 400 epochs: the command of the authors' README.
_base_ = [
    '../_base_/models/dropmae.py',
    '../_base_/datasets/k400.py',
    '../_base_/datasets/pipelines/dropmae.py',
    '../_base_/schedules/adamw_dropmae.py',
    '../_base_/schedules/coslr_400e.py',
    '../_base_/default_runtime.py',
]

train_dataloader = dict(batch_size=64, dataset=dict(pipeline=_base_.train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=_base_.val_pipeline))
test_dataloader = val_dataloader
