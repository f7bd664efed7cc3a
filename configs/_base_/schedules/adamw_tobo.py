# ToBo's optimizer (github.com/naver-ai/tobo at fa41194): DropMAE's AdamW, weight decay and mixed precision.
_base_ = './adamw_dropmae.py'

optim_wrapper = dict(
    optimizer=dict(lr=1.5e-4 * 1536 / 256),  # main_pretrain_tobo.py:56,181-184; it counts videos, not pairs
    accumulative_counts=8,  # docs/Train.md:6
)
# 1536 videos in a step, 2 pairs of each: 24 on each of 8 GPUs, 8 times. The authors do not say how many GPUs
auto_scale_lr = dict(base_batch_size=3072)
