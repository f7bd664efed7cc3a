# FCN heads on DropMAE's encoder, Pascal VOC 2012 with the additional masks.
# Set the checkpoint of the pre-training: --cfg-options model.backbone.init_cfg.checkpoint=CHECKPOINT
_base_ = [
    'mmseg::_base_/models/fcn_r50-d8.py',
    'mmseg::_base_/datasets/pascal_voc12_aug.py',
    'mmseg::_base_/default_runtime.py',
    '../_base_/schedules/layer_decay_20k.py',
]

model = dict(
    data_preprocessor=dict(size=(512, 512)),
    pretrained=None,
    backbone=dict(
        _delete_=True,
        type='mmvidmae.PairMAEViT',
        arch='base',
        img_size=224,
        patch_size=16,
        frame_embed=True,
        with_cls_token=False,
        out_indices=(3, 5, 7, 11),
        drop_path_rate=0.1,
        init_cfg=dict(type='Pretrained', checkpoint='CHECKPOINT', prefix='backbone.'),
    ),
    decode_head=dict(in_channels=768, num_classes=21),
    auxiliary_head=dict(in_channels=768, num_classes=21),
)
