# CatMAE, ViT-S/8: a wider decoder, and fewer clips in a step (configs/pretrain_catmae_vit-s-8.json:4-5,13 in
# github.com/minhoooo1/CatMAE at 0fb1f60: 58 clips on each of 4 GPUs, 2 accumulated steps).
_base_ = './catmae_vit-small-p16_8xb128-amp-coslr-300e_k400.py'

model = dict(backbone=dict(patch_size=8), neck=dict(decoder_dims=384))
train_dataloader = dict(batch_size=29)
optim_wrapper = dict(optimizer=dict(lr=1.5e-4 * 464 / 256))
auto_scale_lr = dict(base_batch_size=464)
