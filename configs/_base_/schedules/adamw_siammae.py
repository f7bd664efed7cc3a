# SiamMAE's optimizer: MAE's, as DropMAE's is. fp16 as CropMAE and RSP have it; the paper does not say.
_base_ = './adamw_dropmae.py'

# the paper's 1.5e-4, read as MAE's base lr for each 256 pairs
optim_wrapper = dict(optimizer=dict(lr=1.5e-4 * 2048 / 256))
# 2048 pairs in a step, 2 of each of 1024 videos; ScheduleHook counts pairs, whatever `repeated_sampling` is.
auto_scale_lr = dict(base_batch_size=2048)
