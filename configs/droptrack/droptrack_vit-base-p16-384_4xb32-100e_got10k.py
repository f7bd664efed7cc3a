# DropTrack ViT-B/16, template 192 and search region 384, 100 epochs on GOT-10k.
_base_ = [
    '../_base_/models/droptrack.py',
    '../_base_/datasets/sot_train_got10k.py',
    '../_base_/datasets/pipelines/droptrack.py',
    '../_base_/schedules/adamw_droptrack.py',
    '../_base_/schedules/droptrack_100e.py',
    '../_base_/tracking_runtime.py',
]

# A pre-training checkpoint of DropMAE, SiamMAE or MAE, or any ViT with mmpretrain's names. Set it:
# --cfg-options model.backbone.init_cfg.checkpoint=CHECKPOINT
model = dict(backbone=dict(init_cfg=dict(type='Pretrained', checkpoint='CHECKPOINT', prefix='backbone.')))

train_dataloader = dict(dataset=dict(pipeline=_base_.train_pipeline))
