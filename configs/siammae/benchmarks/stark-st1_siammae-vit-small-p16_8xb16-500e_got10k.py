# STARK, stage 1, with SiamMAE's encoder (ViT-S/16) in the place of its ResNet-50.
_base_ = [
    'mmtrack::sot/stark/stark-st1_r50_8xb16-500e_got10k.py',
    '../../_base_/models/finetune/siammae-vit-small-p16.py',
]

model = dict(
    backbone=dict(_delete_=True, **_base_.encoder),
    neck=dict(in_channels=[384]),
)

default_hooks = dict(
    param_scheduler=dict(type='mmvidmae.ScheduleHook'), checkpoint=dict(type='mmvidmae.AtomicCheckpointHook')
)
