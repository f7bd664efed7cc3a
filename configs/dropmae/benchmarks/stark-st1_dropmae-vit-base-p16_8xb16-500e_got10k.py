# STARK, stage 1, with DropMAE's encoder in the place of its ResNet-50: an existing tracker with another backbone.
# Template (128 px) and search (320 px) images are encoded apart, each as a single frame, at the stride of 16 that STARK
# expects.
_base_ = [
    'mmtrack::sot/stark/stark-st1_r50_8xb16-500e_got10k.py',
    '../../_base_/models/finetune/dropmae-vit-base-p16.py',
]

model = dict(
    backbone=dict(_delete_=True, **_base_.encoder),
    neck=dict(in_channels=[768]),
)

default_hooks = dict(
    param_scheduler=dict(type='mmvidmae.ScheduleHook'), checkpoint=dict(type='mmvidmae.AtomicCheckpointHook')
)
