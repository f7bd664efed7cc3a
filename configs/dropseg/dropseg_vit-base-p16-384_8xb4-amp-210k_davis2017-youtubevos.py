# DropSeg ViT-B/16, trained on DAVIS-2017 and YouTube-VOS.
_base_ = [
    '../_base_/methods/dropseg.py',
    '../_base_/datasets/vos_train.py',
    '../_base_/schedules/dropseg_210k.py',
    '../_base_/segmentation_runtime.py',
]

train_dataloader = _base_.train_dataloader
for dataset in train_dataloader.dataset.datasets:
    dataset.pipeline = _base_.train_pipeline
