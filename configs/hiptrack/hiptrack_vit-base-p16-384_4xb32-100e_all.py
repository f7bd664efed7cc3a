# HIPTrack ViT-B/16, template 192 and search region 384, 100 epochs on LaSOT, GOT-10k, COCO and TrackingNet.
_base_ = [
    '../_base_/models/hiptrack.py',
    '../_base_/datasets/sot_train_all.py',
    '../_base_/datasets/pipelines/hiptrack.py',
    '../_base_/schedules/hiptrack_100e.py',
    '../_base_/tracking_runtime.py',
]

# Encoder and head of a DropTrack checkpoint of the same data. Set it:
# --cfg-options model.backbone.init_cfg.checkpoint=CHECKPOINT model.head.init_cfg.checkpoint=CHECKPOINT
model = dict(
    backbone=dict(init_cfg=dict(type='Pretrained', checkpoint='CHECKPOINT', prefix='backbone.')),
    head=dict(init_cfg=dict(type='Pretrained', checkpoint='CHECKPOINT', prefix='head.')),
)

train_dataloader = _base_.train_dataloader
for dataset in train_dataloader.dataset.datasets:
    dataset.pipeline = _base_.train_pipeline
