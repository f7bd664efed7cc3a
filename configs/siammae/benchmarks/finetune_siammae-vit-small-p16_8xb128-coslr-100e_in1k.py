# Fine-tuning of SiamMAE's encoder on ImageNet-1k, with mmpretrain's schedule for MAE (layer-wise lr decay).
_base_ = [
    'mmpretrain::mae/benchmarks/vit-base-p16_8xb128-coslr-100e_in1k.py',
    '../../_base_/models/finetune/siammae-vit-small-p16.py',
]

model = dict(
    backbone=dict(_delete_=True, drop_path_rate=0.1, out_type='avg_featmap', **_base_.encoder),
    head=dict(in_channels=384),
)

default_hooks = dict(
    param_scheduler=dict(type='mmvidmae.ScheduleHook'), checkpoint=dict(type='mmvidmae.AtomicCheckpointHook')
)
