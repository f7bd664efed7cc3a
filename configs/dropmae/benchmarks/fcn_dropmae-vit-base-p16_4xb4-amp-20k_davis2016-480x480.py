# FCN heads on DropMAE's encoder, foreground of DAVIS-2016.
_base_ = [
    'mmseg::_base_/models/fcn_r50-d8.py',
    '../../_base_/models/finetune/dropmae-vit-base-p16.py',
    '../../_base_/datasets/davis2016_foreground.py',
    'mmseg::_base_/default_runtime.py',
    '../../_base_/schedules/layer_decay_20k.py',
]

model = dict(
    data_preprocessor=dict(size=(480, 480)),
    pretrained=None,
    backbone=dict(_delete_=True, out_indices=(3, 5, 7, 11), drop_path_rate=0.1, **_base_.encoder),
    decode_head=dict(in_channels=768, num_classes=2),
    auxiliary_head=dict(in_channels=768, num_classes=2),
)
