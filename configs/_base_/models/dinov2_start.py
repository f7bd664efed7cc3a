# Start of the small configs from DINOv2 ViT-S/14, at 112 pixels. On single frames the encoder is DINOv2 to the bit: it
# keeps the class token and has no random frame identities. Its positions, 37 a side, are resized to the 8 of the input.
#   python tools/model_converters/get_dinov2.py checkpoints/dinov2_vits14.safetensors
dinov2_start = dict(
    arch='small',
    img_size=112,
    patch_size=14,
    frame_embed=False,
    with_cls_token=True,
    init_cfg=dict(type='Pretrained', checkpoint='checkpoints/dinov2_vits14.safetensors', prefix='backbone.'),
)
# The new decoder trains at the full rate, the encoder at a fiftieth of it.
dinov2_optim_wrapper = dict(
    type='mmvidmae.CPUAmpOptimWrapper',
    optimizer=dict(lr=5e-4),
    constructor='mmvidmae.PartwiseOptimWrapperConstructor',
    paramwise_cfg=dict(lr_mults=dict(backbone=0.02)),  # 1e-5
)
