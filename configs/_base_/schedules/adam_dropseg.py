# DropSeg's optimizer (github.com/jimmy-dq/DropSeg at 7f5e082, util/hyper_para.py:80-86): 4 pairs on each of 8 GPUs.
optim_wrapper = dict(type='AmpOptimWrapper', optimizer=dict(type='Adam', lr=2e-5, weight_decay=1e-7))
auto_scale_lr = dict(base_batch_size=32)
