# A small tracker that trains in minutes on two cores, from an encoder of 6 layers, 192 wide, patches of 8 pixels
# (./dropmae_*.py); on any folder of sequences (docs/tracking.md): --cfg-options train_dataloader.dataset.data_root=DIR
# Its encoder starts from: model.backbone.init_cfg=dict(type='Pretrained', checkpoint=..., prefix='backbone.')
_base_ = [
    '../_base_/models/droptrack.py',
    '../_base_/datasets/sot_loaders.py',
    '../_base_/datasets/pipelines/droptrack.py',
    '../_base_/schedules/adamw_droptrack.py',
    '../_base_/tracking_runtime.py',
]

model = dict(
    template_size=48,
    search_size=96,
    search_factor=4.0,
    backbone=dict(
        arch=dict(_delete_=True, embed_dims=192, num_layers=6, num_heads=3, feedforward_channels=768),
        patch_size=8,
        ce_loc=(),  # a schedule of minutes has no time to get used to it
        ce_keep_ratio=(),
        drop_path_rate=0.0,
    ),
    head=dict(channels=64),
)

train_pipeline = _base_.train_pipeline
train_pipeline[3].update(factors=(2.0, 4.0), sizes=(48, 96), center_jitter=(0.0, 1.5), scale_jitter=(0.0, 0.15))
train_dataloader = dict(
    batch_size=16,
    num_workers=1,
    persistent_workers=True,
    sampler=dict(type='mmvidmae.PairSampler', samples_per_epoch=9600),
    dataset=dict(type='mmvidmae.SequenceFolderDataset', data_root='data/sequences/train', pipeline=train_pipeline),
)
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=1)
optim_wrapper = dict(
    optimizer=dict(lr=4e-3),  # a few hundred steps: the head has far to go
    clip_grad=dict(max_norm=1.0),
)
param_scheduler = [
    dict(type='mmvidmae.LinearLR', start_factor=0.01, by_epoch=False, end=30),
    dict(type='CosineAnnealingLR', by_epoch=False, begin=30, end=600),
]

test_dataloader = dict(dataset=dict(type='mmvidmae.SequenceFolderDataset', data_root='data/sequences/test'))
custom_hooks = [
    dict(type='mmvidmae.StepSeedHook'),
    dict(type='mmvidmae.NonFiniteLossHook'),
    dict(type='mmvidmae.PreemptionHook'),  # SIGTERM or SIGUSR1: save and stop
]
