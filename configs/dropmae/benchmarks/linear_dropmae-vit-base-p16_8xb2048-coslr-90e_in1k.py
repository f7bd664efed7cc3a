# Linear probe of DropMAE's encoder on ImageNet-1k, with mmpretrain's schedule for MAE.
_base_ = [
    'mmpretrain::mae/benchmarks/vit-base-p16_8xb2048-linear-coslr-90e_in1k.py',
    '../../_base_/models/finetune/dropmae-vit-base-p16.py',
]

model = dict(
    backbone=dict(_delete_=True, frozen_stages=12, out_type='avg_featmap', **_base_.encoder),
    neck=dict(input_features=768),
    head=dict(in_channels=768),
)

default_hooks = dict(
    param_scheduler=dict(type='mmvidmae.ScheduleHook'), checkpoint=dict(type='mmvidmae.AtomicCheckpointHook')
)
