# UPerNet with SiamMAE's encoder on ADE20K, as mmseg does it with MAE's.
_base_ = [
    'mmseg::_base_/models/upernet_mae.py',
    '../../_base_/models/finetune/siammae-vit-small-p16.py',
    'mmseg::_base_/datasets/ade20k.py',
    'mmseg::_base_/default_runtime.py',
    '../../_base_/schedules/layer_decay_160k.py',
]

model = dict(
    data_preprocessor=dict(size=(512, 512)),
    backbone=dict(_delete_=True, out_indices=(3, 5, 7, 11), drop_path_rate=0.1, **_base_.encoder),
    neck=dict(embed_dim=384),
    decode_head=dict(in_channels=[384] * 4, channels=384, num_classes=150),
    auxiliary_head=dict(in_channels=384, num_classes=150),
    test_cfg=dict(mode='slide', crop_size=(512, 512), stride=(341, 341)),
)
train_dataloader = dict(batch_size=2)
