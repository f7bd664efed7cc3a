# RSP, ViT-S/16, Kinetics-400, 400 effective epochs (github.com/huiwon-jang/RSP at 5ea2b91: README.md:63-76). 192 videos
# on each of 8 GPUs, 2 pairs of each: 3072 pairs in a step.
_base_ = [
    '../_base_/models/rsp.py',
    '../_base_/datasets/k400.py',
    '../_base_/datasets/pipelines/rsp.py',
    '../_base_/schedules/adamw_rsp.py',
    '../_base_/schedules/coslr_400e.py',  # 40 epochs of warm-up, as RSP
    '../_base_/default_runtime.py',
]

train_dataloader = dict(batch_size=192, dataset=dict(repeated_sampling=2, pipeline=_base_.train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=_base_.val_pipeline))
test_dataloader = val_dataloader
