# CatMAE's optimizer (github.com/minhoooo1/CatMAE at 0fb1f60): DropMAE's AdamW, weight decay and mixed precision.
_base_ = './adamw_dropmae.py'

# base lr 1.5e-4 for each 256 clips, as in the code (main_pretrain.py:63-64); the paper's text says 1e-4
optim_wrapper = dict(optimizer=dict(lr=1.5e-4 * 2048 / 256))
# 256 clips on each of 4 GPUs, 2 accumulated steps (configs/pretrain_catmae_vit-s-16.json:5-6, main_pretrain.py:35)
auto_scale_lr = dict(base_batch_size=2048)
