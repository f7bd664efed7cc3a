# HIPTrack on the small tracker from DINOv2-S: the encoder is frozen, the head is trained on, and the historical prompt
# starts from random weights (docs/results/dinov2_tracker.md). Set CHECKPOINT to the trained tracker:
# --cfg-options model.backbone.init_cfg.checkpoint=CHECKPOINT model.head.init_cfg.checkpoint=CHECKPOINT
_base_ = './droptrack_vit-small-p14-dinov2-224_1xb16-16e_sequences.py'

model = dict(
    type='mmvidmae.HIPTrack',
    backbone=dict(init_cfg=dict(type='Pretrained', checkpoint='CHECKPOINT', prefix='backbone.')),
    head=dict(init_cfg=dict(type='Pretrained', checkpoint='CHECKPOINT', prefix='head.')),
    prompt=dict(type='mmvidmae.HistoricalPrompt', base_channels=32),
)

train_pipeline = _base_.train_pipeline
train_pipeline[0] = dict(type='mmvidmae.ClipSampling', num_search=5, max_jump=10)  # JHMDB's clips have 15 to 40 frames
train_dataloader = dict(batch_size=8, sampler=dict(samples_per_epoch=1600), dataset=dict(pipeline=train_pipeline))
train_cfg = dict(max_epochs=3)  # 4,800 clips of five search regions
optim_wrapper = dict(paramwise_cfg=None)
param_scheduler = [
    dict(type='mmvidmae.LinearLR', start_factor=0.01, by_epoch=False, end=50),
    dict(type='CosineAnnealingLR', by_epoch=False, begin=50, end=600),
]
