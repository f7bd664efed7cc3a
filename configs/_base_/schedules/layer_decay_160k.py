# As layer_decay_20k.py, for 160,000 iterations.
_base_ = './layer_decay_20k.py'

param_scheduler = _base_.param_scheduler
param_scheduler[0].end = param_scheduler[1].begin = 1500
param_scheduler[1].end = 160000
train_cfg = dict(max_iters=160000, val_interval=16000)
default_hooks = dict(checkpoint=dict(interval=16000))
