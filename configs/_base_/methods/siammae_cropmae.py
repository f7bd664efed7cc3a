# SiamMAE as CropMAE's authors reproduce it (github.com/alexandre-eymael/CropMAE at 5d0dab2: file:line below). What
# differs from siammae.py:
_base_ = './siammae.py'

# 4 blocks, 256 wide, 8 heads, post-norm, feed-forward before self-attention (models/SiamMAE.py:139,
# DecoderBlock.py:42-105).
model = dict(
    neck=dict(
        decoder_dims=256,
        depth=4,
        num_heads=8,
        feedforward_channels=2048,
        order=('cross', 'ffn', 'self'),
        norm_first=False,
        memory_pos_embed=False,
        dropout=0.1,
        packed_init=True,
    )
)

# Frames 4 to 47 apart (data/util/video_utils.py:22-24), bilinear interpolation (data/SiamMAE_PIPE.py:10-49).
train_pipeline = [
    dict(type='mmvidmae.SampleFramePairs', gap=(4, 47), draw_first='gap'),
    dict(type='mmvidmae.LoadFramePairs'),
    dict(type='mmvidmae.PairRandomResizedCrop', size=224, scale=(0.5, 1.0), interpolation='bilinear', shared=True),
    dict(type='mmvidmae.PairRandomFlip', prob=0.5, shared=True),
    dict(type='mmvidmae.PackPairs'),
]

optim_wrapper = dict(optimizer=dict(lr=1e-4 * 2048 / 256))

# 2048 pairs in a step, too: 128 videos on each of 16 GPUs, one pair of each.
auto_scale_lr = dict(base_batch_size=2048)
