# RSP's optimizer (github.com/huiwon-jang/RSP at 5ea2b91): DropMAE's AdamW, weight decay and mixed precision.
_base_ = './adamw_dropmae.py'

# base lr 1.5e-4 for each 256 videos, 2 pairs of each (main_pretrain_rsp.py:65,156-160)
optim_wrapper = dict(optimizer=dict(lr=1.5e-4 * 1536 / 256))
# 1536 videos in a step (README.md:63), counted in pairs
auto_scale_lr = dict(base_batch_size=3072)
