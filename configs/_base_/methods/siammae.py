# SiamMAE (arXiv 2305.14344; no official code exists). Numbers are those of the paper's table 4a; what it does not give
# is MAE's (arXiv 2111.06377 and its code), on which the paper says it builds.
#
# The class fixes the method: the past frame is whole, 95 % of the future frame is hidden, siamese encoder with a class
# token and no identity embeddings, cross-self decoder, loss on the hidden patches of the future frame against pixels
# normalized in each patch. The decoder's size is not in the paper: it is MAE's 8 blocks, 512 wide,
# 16 heads, pre-norm.
model = dict(
    type='mmvidmae.SiamMAE',
    backbone=dict(arch='small', img_size=224, patch_size=16),
    neck=dict(decoder_dims=512, depth=8, num_heads=16),
)

# Frames 4 to 48 apart. One crop and one flip for both frames of a pair (as CropMAE and RSP read the paper), MAE's
# bicubic interpolation.
train_pipeline = [
    dict(type='mmvidmae.SampleFramePairs', gap=(4, 48), draw_first='gap'),
    dict(type='mmvidmae.LoadFramePairs'),
    dict(type='mmvidmae.PairRandomResizedCrop', size=224, scale=(0.5, 1.0), interpolation='bicubic', shared=True),
    dict(type='mmvidmae.PairRandomFlip', prob=0.5, shared=True),
    dict(type='mmvidmae.PackPairs'),
]
val_pipeline = [
    dict(type='mmvidmae.SampleFramePairs', gap=(4, 48), draw_first='gap'),
    dict(type='mmvidmae.LoadFramePairs'),
    dict(type='mmvidmae.PairResize', size=256),
    dict(type='mmvidmae.PairCenterCrop', size=224),
    dict(type='mmvidmae.PackPairs'),
]

# fp16 with a dynamic loss scale, no gradient clipping (CropMAE and RSP; the paper does not say).
optim_wrapper = dict(
    type='AmpOptimWrapper',
    optimizer=dict(
        type='AdamW',
        lr=1.5e-4 * 2048 / 256,  # the paper's 1.5e-4, read as MAE's base lr for each 256 pairs
        betas=(0.9, 0.95),
        weight_decay=0.05,
        fused=True,  # one pass over the parameters; the same arithmetic
    ),
    # MAE's rule (timm): no decay for tensors of one dimension, so none for biases and norms. Class and mask token have
    # more and are decayed.
    constructor='mmvidmae.SummarizingOptimWrapperConstructor',  # a line of the log for all that train alike
    paramwise_cfg=dict(flat_decay_mult=0.0),
)

# 2048 pairs in a step, 2 of each of 1024 videos; ScheduleHook counts pairs, whatever `repeated_sampling` is.
auto_scale_lr = dict(enable=False, base_batch_size=2048)
