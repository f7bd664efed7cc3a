# DropTrack's optimizer, in single precision, as published (AMP: --amp).
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=2.5e-4, weight_decay=1e-4),  # for a total batch of 128
    constructor='mmvidmae.SummarizingOptimWrapperConstructor',  # a line of the log for all that train alike
    paramwise_cfg=dict(custom_keys=dict(backbone=dict(lr_mult=0.1))),
    clip_grad=dict(max_norm=0.1),
)
auto_scale_lr = dict(base_batch_size=128)
