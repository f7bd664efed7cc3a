# SETR's progressive upsampling with DropMAE's encoder on ADE20K.
_base_ = [
    'mmseg::_base_/models/setr_pup.py',
    '../../_base_/models/finetune/dropmae-vit-base-p16.py',
    'mmseg::_base_/datasets/ade20k.py',
    'mmseg::_base_/default_runtime.py',
    '../../_base_/schedules/layer_decay_160k.py',
]

norm_cfg = dict(type='SyncBN', requires_grad=True)
head = dict(
    type='SETRUPHead',
    in_channels=768,
    channels=256,
    num_classes=150,
    dropout_ratio=0,
    norm_cfg=norm_cfg,
    num_convs=2,
    up_scale=4,
    kernel_size=3,
    align_corners=False,
    loss_decode=dict(type='CrossEntropyLoss', use_sigmoid=False, loss_weight=0.4),
)
model = dict(
    data_preprocessor=dict(size=(512, 512)),
    pretrained=None,
    backbone=dict(_delete_=True, out_indices=(3, 5, 7, 11), drop_path_rate=0.1, **_base_.encoder),
    decode_head=dict(in_channels=768, num_classes=150),
    auxiliary_head=[dict(head, in_index=index) for index in range(3)],
    test_cfg=dict(mode='slide', crop_size=(512, 512), stride=(341, 341)),
)
train_dataloader = dict(batch_size=2)
