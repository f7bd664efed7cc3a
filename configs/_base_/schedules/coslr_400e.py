# 400 epochs: 40 of linear warm-up from 0, then half a cosine to 0, set in every iteration (DropMAE
# util/lr_sched.py:9-16).
#
# Epochs are *effective* epochs, one pair for each video of the set on average: with repeated_sampling=k an epoch
# samples 1/k of the videos and takes k pairs of each, so that schedules need no change.
#
# The start factor stands for 0, at which LinearLR, a recursion of quotients, would divide by zero. LinearLR reaches the
# peak at the last iteration of the warm-up, one earlier than the authors' formula: the lr differs by less than 1 /
# (iterations of warm-up) of the peak. Ours differs from MMEngine's for a warm-up of one iteration or less, whose lr is
# the peak.
param_scheduler = [
    dict(type='mmvidmae.LinearLR', start_factor=1e-9, by_epoch=True, begin=0, end=40, convert_to_iter_based=True),
    dict(type='CosineAnnealingLR', by_epoch=True, begin=40, end=400, convert_to_iter_based=True),
]
train_cfg = dict(by_epoch=True, max_epochs=400, val_interval=20)
