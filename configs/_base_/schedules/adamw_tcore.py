# T-CoRe's optimizer (github.com/yafeng19/T-CORE at 0ffcabe: base_model/configs/ssl_default_config.yaml, optim and
# auxiliary), fp16 with a dynamic loss scale.
optim_wrapper = dict(
    type='AmpOptimWrapper',
    optimizer=dict(
        type='AdamW',
        lr=0.002 * (256 / 1024) ** 0.5,  # base_lr 0.002 and scaling_rule sqrt_wrt_1024, for 256 videos in a step
        betas=(0.9, 0.999),
        weight_decay=0.04,
    ),
    constructor='mmvidmae.PartwiseOptimWrapperConstructor',
    paramwise_cfg=dict(
        layer_decay_rate=0.9,
        lr_mults={'backbone.patch_embed': 0.2, 'neck': 0.1},  # patch_embed_lr_mult, auxiliary.lr_mul
        flat_decay_mult=0.0,  # biases, norms, LayerScale (67c8bf9:base_model/utils/param_groups.py:66)
        clip_norm=3.0,  # of encoder, head and decoder by themselves (67c8bf9:base_model/train/train.py:332-339)
    ),
)
# There is no auto_scale_lr, which is linear: for N videos in a step, set lr to 0.002 * (N / 1024) ** 0.5.
