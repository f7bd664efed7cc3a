# The optimizer of CropMAE (github.com/alexandre-eymael/CropMAE at 5d0dab2: file:line below).
optim_wrapper = dict(
    type='AmpOptimWrapper',  # fp16 with a dynamic loss scale, no gradient clipping
    optimizer=dict(
        type='AdamW',
        lr=1e-4 * 2048 / 256,  # scripts/train_cropmae_in.sh:63-65
        betas=(0.9, 0.95),
        weight_decay=0.05,
        fused=True,  # one pass over the parameters; the same arithmetic
    ),
    # MAE's rule (timm): no decay for tensors of one dimension, so none for biases and norms
    constructor='mmvidmae.SummarizingOptimWrapperConstructor',
    paramwise_cfg=dict(flat_decay_mult=0.0),
)
# 128 pictures on each of 16 GPUs, one pair of each
auto_scale_lr = dict(enable=False, base_batch_size=2048)
