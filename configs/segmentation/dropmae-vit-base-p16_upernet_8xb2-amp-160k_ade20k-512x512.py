# UPerNet with DropMAE's encoder on ADE20K, as mmseg does it with MAE's.
# Set the checkpoint of the pre-training: --cfg-options model.backbone.init_cfg.checkpoint=CHECKPOINT
_base_ = [
    'mmseg::_base_/models/upernet_mae.py',
    'mmseg::_base_/datasets/ade20k.py',
    'mmseg::_base_/default_runtime.py',
    '../_base_/schedules/layer_decay_160k.py',
]

model = dict(
    data_preprocessor=dict(size=(512, 512)),
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
    neck=dict(embed_dim=768),
    decode_head=dict(in_channels=[768] * 4, channels=768, num_classes=150),
    auxiliary_head=dict(in_channels=768, num_classes=150),
    test_cfg=dict(mode='slide', crop_size=(512, 512), stride=(341, 341)),
)
train_dataloader = dict(batch_size=2)
