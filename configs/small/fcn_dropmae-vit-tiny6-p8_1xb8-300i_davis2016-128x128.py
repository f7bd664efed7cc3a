# FCN heads on the small encoder (./dropmae_*.py): foreground of DAVIS-2016 at a size that two cores train in minutes.
_base_ = [
    'mmseg::_base_/models/fcn_r50-d8.py',
    '../_base_/datasets/davis2016_foreground.py',
    'mmseg::_base_/default_runtime.py',
    'mmseg::_base_/schedules/schedule_20k.py',
]

norm_cfg = dict(type='BN', requires_grad=True)
model = dict(
    data_preprocessor=dict(size=(128, 128)),
    pretrained=None,
    backbone=dict(
        _delete_=True,
        type='mmvidmae.PairMAEViT',
        arch=dict(embed_dims=192, num_layers=6, num_heads=3, feedforward_channels=768),
        img_size=96,
        patch_size=8,
        frame_embed=True,
        with_cls_token=False,
        out_indices=(2, 5),
    ),
    decode_head=dict(in_channels=192, in_index=1, channels=64, num_classes=2, norm_cfg=norm_cfg),
    auxiliary_head=dict(in_channels=192, in_index=0, channels=64, num_classes=2, norm_cfg=norm_cfg),
)

train_pipeline = _base_.train_pipeline
train_pipeline[2].update(scale=(342, 192), ratio_range=(0.75, 1.5))
train_pipeline[3].crop_size = (128, 128)
# the ground truth is loaded after the resize: scores are at its own size
test_pipeline = [
    dict(type='mmvidmae.LoadPicture'),
    dict(type='ResizeToMultiple', size_divisor=8),
    dict(type='LoadAnnotations'),
    dict(type='PackSegInputs'),
]
test_pipeline.insert(1, dict(type='Resize', scale=(342, 192), keep_ratio=True))
train_dataloader = dict(batch_size=8, num_workers=1, dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(num_workers=1, dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
optim_wrapper = dict(
    _delete_=True,
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=1e-3, weight_decay=0.05),
    constructor='LearningRateDecayOptimizerConstructor',
    paramwise_cfg=dict(num_layers=6, decay_rate=0.75, decay_type='layer_wise'),
)
param_scheduler = [
    dict(type='mmvidmae.LinearLR', start_factor=0.01, by_epoch=False, end=20),
    dict(type='CosineAnnealingLR', by_epoch=False, begin=20, end=300),
]
train_cfg = dict(max_iters=300, val_interval=300)
default_hooks = dict(
    logger=dict(interval=20),
    param_scheduler=dict(type='mmvidmae.ScheduleHook'),
    checkpoint=dict(type='mmvidmae.AtomicCheckpointHook', interval=300),
)
