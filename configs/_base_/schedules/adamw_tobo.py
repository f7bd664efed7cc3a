# The optimizer of ToBo (github.com/naver-ai/tobo at fa41194: file:line below).
optim_wrapper = dict(
    type='AmpOptimWrapper',  # fp16 with a dynamic loss scale, no gradient clipping
    optimizer=dict(
        type='AdamW',
        lr=1.5e-4 * 1536 / 256,  # main_pretrain_tobo.py:56,181-184; it counts videos, not pairs
        betas=(0.9, 0.95),
        weight_decay=0.05,
        fused=True,  # one pass over the parameters; the same arithmetic
    ),
    # MAE's rule (timm): no decay for tensors of one dimension, so none for biases and norms
    constructor='mmvidmae.SummarizingOptimWrapperConstructor',
    paramwise_cfg=dict(flat_decay_mult=0.0),
    accumulative_counts=8,  # docs/Train.md:6
)
# 3072 pairs in a step: 2 of each of 1536 videos, 24 on each of 8 GPUs, 8 times. The authors do not say how many GPUs
auto_scale_lr = dict(enable=False, base_batch_size=3072)
