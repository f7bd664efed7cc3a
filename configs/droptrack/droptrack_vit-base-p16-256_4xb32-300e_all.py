# DropTrack ViT-B/16, template 128 and search region 256, 300 epochs on LaSOT, GOT-10k, COCO and TrackingNet.
_base_ = [
    '../_base_/models/droptrack_256.py',
    '../_base_/datasets/sot_train_all.py',
    '../_base_/datasets/pipelines/droptrack_256.py',
    '../_base_/schedules/adamw_droptrack.py',
    '../_base_/schedules/droptrack_300e.py',
    '../_base_/tracking_runtime.py',
]

# A pre-training checkpoint of DropMAE, SiamMAE or MAE, or any ViT with mmpretrain's names. Set it:
# --cfg-options model.backbone.init_cfg.checkpoint=CHECKPOINT
model = dict(backbone=dict(init_cfg=dict(type='Pretrained', checkpoint='CHECKPOINT', prefix='backbone.')))

train_dataloader = _base_.train_dataloader
for dataset in train_dataloader.dataset.datasets:
    dataset.pipeline = _base_.train_pipeline
