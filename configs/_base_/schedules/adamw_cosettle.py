# Co-Settle's optimizer (github.com/yafeng19/Co-Settle at 3a01eb0, scripts/train.sh:4-26).
_base_ = './adamw_dropmae.py'

optim_wrapper = dict(optimizer=dict(lr=1e-4 * 512 / 256))  # base lr 1e-4 for each 256 pairs
# 128 pairs on each of 4 GPUs
auto_scale_lr = dict(base_batch_size=512)
