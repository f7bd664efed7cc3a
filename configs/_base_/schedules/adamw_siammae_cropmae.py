# The optimizer of CropMAE's SiamMAE (github.com/alexandre-eymael/CropMAE at 5d0dab2): a lower lr.
_base_ = './adamw_dropmae.py'

optim_wrapper = dict(optimizer=dict(lr=1e-4 * 2048 / 256))
# 128 videos on each of 16 GPUs, one pair of each
auto_scale_lr = dict(base_batch_size=2048)
