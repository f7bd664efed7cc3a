# A tracker from DINOv2 ViT-S/14, frozen but for its last three layers and the final norm. It trains in two hours on one
# core, in bfloat16 on CPUs that have it (docs/results/dinov2_tracker.md).
#   python tools/model_converters/get_dinov2.py checkpoints/dinov2_vits14.safetensors
_base_ = './droptrack_vit-tiny6-p8-128_1xb16-16e_sequences.py'

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
train_pipeline[3].update(sizes=(112, 224))
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
