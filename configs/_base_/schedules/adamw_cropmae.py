# CropMAE's optimizer (github.com/alexandre-eymael/CropMAE at 5d0dab2): DropMAE's AdamW, weight decay and mixed
# precision.
_base_ = './adamw_dropmae.py'

optim_wrapper = dict(optimizer=dict(lr=1e-4 * 2048 / 256))  # scripts/train_cropmae_in.sh:63-65
# 128 pictures on each of 16 GPUs, one pair of each
auto_scale_lr = dict(base_batch_size=2048)
