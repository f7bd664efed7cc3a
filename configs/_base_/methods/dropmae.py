# DropMAE (arXiv 2304.00571) as its authors' code trains it (github.com/jimmy-dq/DropMAE at 4de150d: file:line below).
#
# The class fixes the method: 75 % of the tokens of both frames together are hidden, learned identity embeddings, no
# class token, joint encoder, decoder of 8 blocks, 512 wide, 16 heads with spatial-attention dropout P = 0.1, loss on
# the hidden patches of both frames against pixels normalized in each patch (models_mae.py:204-447). It also normalizes
# frames with ImageNet's mean and deviation, on the device.
model = dict(type='mmvidmae.DropMAE', backbone=dict(arch='base', img_size=224, patch_size=16))

# Frames 1 to 49 apart, the start drawn first (KineticsDataset.py:69-70). Crop and flip are drawn for each frame by
# itself (KineticsDataset.py:78; main_pretrain_kinetics.py:140-144).
train_pipeline = [
    dict(type='mmvidmae.SampleFramePairs', gap=(1, 49), draw_first='start'),
    dict(type='mmvidmae.LoadFramePairs'),
    dict(type='mmvidmae.PairRandomResizedCrop', size=224, scale=(0.2, 1.0), interpolation='bicubic', shared=False),
    dict(type='mmvidmae.PairRandomFlip', prob=0.5, shared=False),
    dict(type='mmvidmae.PackPairs'),
]
val_pipeline = [
    dict(type='mmvidmae.SampleFramePairs', gap=(1, 49), draw_first='start'),
    dict(type='mmvidmae.LoadFramePairs'),
    dict(type='mmvidmae.PairResize', size=256),
    dict(type='mmvidmae.PairCenterCrop', size=224),
    dict(type='mmvidmae.PackPairs'),
]

# fp16 with a dynamic loss scale, no gradient clipping (engine_pretrain.py:52,62).
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
    # norms. The mask token and the identity embeddings have more and are decayed.
    constructor='mmvidmae.SummarizingOptimWrapperConstructor',  # a line of the log for all that train alike
    paramwise_cfg=dict(flat_decay_mult=0.0),
)

# 64 pairs on each of 64 GPUs (README:46-65). `--auto-scale-lr` scales the lr for other numbers.
auto_scale_lr = dict(enable=False, base_batch_size=4096)
