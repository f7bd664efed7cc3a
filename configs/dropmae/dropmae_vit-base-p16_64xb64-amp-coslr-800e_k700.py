# DropMAE, ViT-B/16, Kinetics-700, 800 epochs: the weights that the authors published. Their log shows gradient
# accumulation; on 32 GPUs do the same with `--cfg-options optim_wrapper.accumulative_counts=2`.
_base_ = [
    '../_base_/models/dropmae.py',
    '../_base_/datasets/k700.py',
    '../_base_/datasets/pipelines/dropmae.py',
    '../_base_/schedules/adamw_dropmae.py',
    '../_base_/schedules/coslr_800e.py',
    '../_base_/default_runtime.py',
]

train_dataloader = dict(batch_size=64, dataset=dict(pipeline=_base_.train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=_base_.val_pipeline))
test_dataloader = val_dataloader
