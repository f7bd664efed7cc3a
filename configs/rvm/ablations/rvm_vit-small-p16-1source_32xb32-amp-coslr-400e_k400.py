# One source and one target, 4 to 48 frames apart, as SiamMAE has them.
_base_ = '../rvm_vit-small-p16_32xb32-amp-coslr-400e_k400.py'

model = dict(
    num_frames=2,
    backbone=dict(num_sources=1),
    masking=dict(mask_ratio=(0.0, 0.95)),
    neck=dict(branches=[dict(targets=(1,), memory=(0,))]),
)
train_pipeline = [
    dict(type='mmvidmae.SampleFrames', gap=(4, 48), draw_first='gap'),
    *_base_.train_pipeline[1:],
]
val_pipeline = [
    dict(type='mmvidmae.SampleFrames', gap=(4, 48), draw_first='gap'),
    *_base_.val_pipeline[1:],
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=val_pipeline))
test_dataloader = val_dataloader
