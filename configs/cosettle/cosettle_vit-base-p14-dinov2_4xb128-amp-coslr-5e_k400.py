# Co-Settle on DINOv2, ViT-B/14 of mmpretrain, Kinetics-400, 5 epochs. 128 pairs on each of 4 GPUs. Its positions are
# enlarged from 37 cells a side and cropped, then resized to the 16 of the input.
_base_ = [
    '../_base_/models/cosettle.py',
    '../_base_/datasets/k400.py',
    '../_base_/datasets/pipelines/cosettle.py',
    '../_base_/schedules/adamw_cosettle.py',
    '../_base_/schedules/coslr_5e.py',
    '../_base_/default_runtime.py',
]

# vit-base-p14_dinov2-pre_3rdparty of mmpretrain's model zoo, without conversion
weights = dict(type='Pretrained', checkpoint='checkpoints/dinov2_vit-base-p14.pth', prefix='backbone.')
encoder = dict(
    _delete_=True,
    type='mmpretrain.VisionTransformer',
    arch='base',
    img_size=518,
    patch_size=14,
    layer_scale_init_value=1e-5,
    out_type='featmap',
    init_cfg=weights,
)
model = dict(backbone=dict(encoder=encoder))
train_dataloader = dict(batch_size=128, dataset=dict(pipeline=_base_.train_pipeline))
default_hooks = dict(checkpoint=dict(interval=1))
# The loss of pairs that were held out says little of an adapter; see configs/propagation for its features.
val_dataloader = val_evaluator = val_cfg = None
test_dataloader = test_evaluator = test_cfg = None
