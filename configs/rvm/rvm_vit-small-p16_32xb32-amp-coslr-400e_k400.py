# RVM, ViT-S/16, Kinetics-400, 400 effective epochs. Our reading, since the authors have published no training: data,
# loss, optimizer and schedule are SiamMAE's. 32 videos on each of 32 GPUs, 2 clips of each: 2048 clips in a step.
_base_ = [
    '../_base_/models/rvm.py',
    '../_base_/datasets/k400.py',
    '../_base_/datasets/pipelines/rvm.py',
    '../_base_/schedules/adamw_rvm.py',
    '../_base_/schedules/coslr_400e.py',
    '../_base_/default_runtime.py',
]

train_dataloader = dict(batch_size=32, dataset=dict(repeated_sampling=2, pipeline=_base_.train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=_base_.val_pipeline))
test_dataloader = val_dataloader
