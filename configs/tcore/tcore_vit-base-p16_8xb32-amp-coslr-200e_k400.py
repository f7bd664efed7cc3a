# T-CoRe, ViT-B/16, Kinetics-400, 200 epochs (the authors' README). 32 videos on each of 8 GPUs: their batch on one GPU
# (67c8bf9:base_model/configs/vitb16_short.yaml:3), and the total batch of ViT-S/16.
_base_ = './tcore_vit-small-p16_4xb64-amp-coslr-400e_k400.py'

model = dict(backbone=dict(arch='base'))
train_dataloader = dict(batch_size=32)
param_scheduler = _base_.param_scheduler
param_scheduler[1].end = param_scheduler[2].end = 200
train_cfg = dict(max_epochs=200)
