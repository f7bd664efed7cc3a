# DropSeg ViT-B/16, trained on DAVIS-2017 and YouTube-VOS.
_base_ = [
    '../_base_/models/dropseg.py',
    '../_base_/datasets/vos_train.py',
    '../_base_/datasets/pipelines/dropseg.py',
    '../_base_/schedules/adam_dropseg.py',
    '../_base_/schedules/dropseg_210k.py',
    '../_base_/segmentation_runtime.py',
]

# A pre-training checkpoint of DropMAE, SiamMAE or MAE, or any ViT with mmpretrain's names. Set it:
# --cfg-options model.backbone.init_cfg.checkpoint=CHECKPOINT
model = dict(backbone=dict(init_cfg=dict(type='Pretrained', checkpoint='CHECKPOINT', prefix='backbone.')))

train_dataloader = _base_.train_dataloader
for dataset in train_dataloader.dataset.datasets:
    dataset.pipeline = _base_.train_pipeline
