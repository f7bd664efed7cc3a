# DropMAE's optimizer (github.com/jimmy-dq/DropMAE at 4de150d): fp16 with a dynamic loss scale, no gradient clipping
# (engine_pretrain.py:52,62).
optim_wrapper = dict(
    type='AmpOptimWrapper',
    optimizer=dict(
        type='AdamW',
        lr=1.5e-4 * 4096 / 256,  # base lr 1.5e-4 for each 256 pairs (main_pretrain_kinetics.py:180-183; README:57)
        betas=(0.9, 0.95),  # main_pretrain_kinetics.py:197
        weight_decay=0.05,  # README:58
        fused=True,  # one pass over the parameters; the same arithmetic
    ),
    # timm 0.3.2's rule (main_pretrain_kinetics.py:196): no decay for tensors of one dimension, so none for biases and
    # norms. Class token, mask token and identity embeddings have more and are decayed.
    constructor='mmvidmae.SummarizingOptimWrapperConstructor',  # a line of the log for all that train alike
    paramwise_cfg=dict(flat_decay_mult=0.0),
)

# 64 pairs on each of 64 GPUs (README:46-65). `--auto-scale-lr` scales the lr for other numbers.
auto_scale_lr = dict(enable=False, base_batch_size=4096)
