# DropMAE started from DINOv2's encoder, vit-base-p14_dinov2-pre_3rdparty of mmpretrain's model zoo.
# Its positions, 37 a side, are resized to the 16 of the input when they are loaded.
# The class token is not used, and identity embeddings start random.
_base_ = '../dropmae_vit-base-p16_64xb64-amp-coslr-400e_k400.py'

model = dict(
    backbone=dict(
        patch_size=14,
        layer_scale_init_value=1e-5,  # the layers have a scale, which is trained further
        init_cfg=dict(type='Pretrained', checkpoint='checkpoints/dinov2_vit-base-p14.pth', prefix='backbone.'),
    ),
)

optim_wrapper = dict(optimizer=dict(lr=1.5e-4 * 4096 / 256 / 10))  # a tenth of the recipe's: our choice
