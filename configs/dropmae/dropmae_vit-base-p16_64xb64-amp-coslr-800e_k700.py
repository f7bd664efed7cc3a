# DropMAE, ViT-B/16, Kinetics-700, 800 epochs: the weights that the authors published. On 64 GPUs of their size the log
# shows gradient accumulation (add `accumulative_counts` to optim_wrapper where 64 pairs a GPU do not fit).
_base_ = [
    '../_base_/methods/dropmae.py',
    '../_base_/datasets/k700.py',
    '../_base_/schedules/coslr_800e.py',
    '../_base_/default_runtime.py',
]

train_dataloader = dict(batch_size=64, dataset=dict(pipeline=_base_.train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=_base_.val_pipeline))
test_dataloader = val_dataloader
