# BAT from DropTrack with all parameters trained, as its forks do (github.com/penghao112104/SFETrack at c2cc4e2:
# experiments/rgbt.yaml): the encoder at a tenth of the learning rate, 40 epochs. The fork has two templates, this has
# one.
_base_ = './bat_droptrack-vit-base-p16-256_3xb32-60e_lasher.py'

model = dict(adapters_only=False)
optim_wrapper = dict(optimizer=dict(lr=1e-4), paramwise_cfg=dict(custom_keys=dict(backbone=dict(lr_mult=0.1))))
auto_scale_lr = dict(base_batch_size=32)
param_scheduler = dict(milestones=[20])
train_cfg = dict(max_epochs=40)
