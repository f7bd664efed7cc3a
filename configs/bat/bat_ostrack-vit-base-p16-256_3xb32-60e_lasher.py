# BAT ViT-B/16 from OSTrack, template 128 and search region 256, 60 epochs on LasHeR: adapters alone.
_base_ = [
    '../_base_/models/bat.py',
    '../_base_/datasets/lasher_sot.py',
    '../_base_/datasets/pipelines/bat.py',
    '../_base_/schedules/bat_60e.py',
    '../_base_/tracking_runtime.py',
]

# Encoder and head of an OSTrack checkpoint. Set it:
# --cfg-options model.backbone.init_cfg.checkpoint=CHECKPOINT model.head.init_cfg.checkpoint=CHECKPOINT
model = dict(
    backbone=dict(init_cfg=dict(type='Pretrained', checkpoint='CHECKPOINT', prefix='backbone.')),
    head=dict(init_cfg=dict(type='Pretrained', checkpoint='CHECKPOINT', prefix='head.')),
)

train_dataloader = dict(dataset=dict(pipeline=_base_.train_pipeline))
