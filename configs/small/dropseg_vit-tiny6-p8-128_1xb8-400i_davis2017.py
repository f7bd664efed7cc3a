# A small DropSeg that trains in minutes on two cores, from an encoder of 6 layers, 192 wide, patches of 8 pixels
# (./dropmae_*.py), on DAVIS's training sequences; sequences can be named in train_dataloader.dataset.videos.sequences.
# Its encoder starts from: model.backbone.init_cfg=dict(type='Pretrained', checkpoint=..., prefix='backbone.')
_base_ = [
    '../_base_/models/dropseg.py',
    '../_base_/datasets/davis2017_propagation.py',
    '../_base_/datasets/pipelines/dropseg.py',
    '../_base_/schedules/adam_dropseg.py',
    '../_base_/segmentation_runtime.py',
]

model = dict(
    backbone=dict(
        arch=dict(_delete_=True, embed_dims=192, num_layers=6, num_heads=3, feedforward_channels=768),
        img_size=128,
        patch_size=8,
        drop_path_rate=0.0,  # a schedule of minutes has no time for it
    ),
    neck=dict(channels=(64, 32)),
    decode_head=dict(channels=(64, 32)),
)

train_pipeline = _base_.train_pipeline
train_pipeline[0].size = 128
train_dataloader = dict(
    batch_size=8,
    num_workers=1,
    persistent_workers=True,
    sampler=dict(type='mmvidmae.InfinitePairSampler'),
    collate_fn=dict(type='default_collate'),
    dataset=dict(
        type='mmvidmae.VOSPairDataset',
        videos=dict(type='mmvidmae.DAVISDataset', data_root='data/DAVIS', year='2017', split='train'),
        pipeline=train_pipeline,
    ),
)
optim_wrapper = dict(type='OptimWrapper', optimizer=dict(lr=5e-4))  # fp32, as it is meant for a CPU
param_scheduler = [
    dict(type='mmvidmae.LinearLR', start_factor=0.01, by_epoch=False, end=20),
    dict(type='CosineAnnealingLR', by_epoch=False, begin=20, end=400),
]
train_cfg = dict(by_epoch=False, max_iters=400)
default_hooks = dict(
    logger=dict(interval=20),
    checkpoint=dict(interval=200, max_keep_ckpts=1),
    top_share=dict(begin=100, end=300, end_value=0.5),
)

test_pipeline = _base_.test_pipeline
test_pipeline[0].short_side = 192
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
