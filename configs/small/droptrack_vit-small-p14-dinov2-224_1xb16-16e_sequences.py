# A tracker from DINOv2 ViT-S/14, frozen but for its last three layers and the final norm. It trains in two hours on one
# core, in bfloat16 on CPUs that have it (docs/results/dinov2_tracker.md).
#   python tools/model_converters/get_dinov2.py checkpoints/dinov2_vits14.safetensors
_base_ = './droptrack_vit-tiny6-p8-96_1xb16-1e_sequences.py'

model = dict(
    template_size=112,
    search_size=224,
    backbone=dict(
        arch='small',
        patch_size=14,
        frame_embed=False,
        frozen_stages=9,
        init_cfg=dict(type='Pretrained', checkpoint='checkpoints/dinov2_vits14.safetensors', prefix='backbone.'),
    ),
    head=dict(channels=128),
)

train_pipeline = _base_.train_pipeline
train_pipeline[3].update(sizes=(112, 224), center_jitter=(0.0, 3.0), scale_jitter=(0.0, 0.25))  # as OSTrack at 256
train_dataloader = dict(sampler=dict(samples_per_epoch=3200), dataset=dict(pipeline=train_pipeline))
train_cfg = dict(max_epochs=16)  # 51,200 pairs
optim_wrapper = dict(type='mmvidmae.CPUAmpOptimWrapper', optimizer=dict(lr=1e-3))
param_scheduler = [
    dict(type='mmvidmae.LinearLR', start_factor=0.01, by_epoch=False, end=100),
    dict(type='CosineAnnealingLR', by_epoch=False, begin=100, end=3200),
]
default_hooks = dict(checkpoint=dict(interval=1, max_keep_ckpts=3))
