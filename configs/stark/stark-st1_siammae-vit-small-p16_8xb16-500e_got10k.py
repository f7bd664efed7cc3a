# STARK, stage 1, with SiamMAE's encoder (ViT-S/16) in the place of its ResNet-50. Set the checkpoint:
# --cfg-options model.backbone.init_cfg.checkpoint=CHECKPOINT
_base_ = 'mmtrack::sot/stark/stark-st1_r50_8xb16-500e_got10k.py'

model = dict(
    backbone=dict(
        _delete_=True,
        type='mmvidmae.PairMAEViT',
        arch='small',
        img_size=224,
        patch_size=16,
        init_cfg=dict(type='Pretrained', checkpoint='CHECKPOINT', prefix='backbone.'),
    ),
    neck=dict(in_channels=[384]),
)

default_hooks = dict(
    param_scheduler=dict(type='mmvidmae.ScheduleHook'), checkpoint=dict(type='mmvidmae.AtomicCheckpointHook')
)
