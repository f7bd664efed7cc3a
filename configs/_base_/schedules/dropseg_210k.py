# 210,000 iterations; the lr falls to a tenth at 125,000.
param_scheduler = dict(type='MultiStepLR', milestones=[125000], gamma=0.1, by_epoch=False)
train_cfg = dict(by_epoch=False, max_iters=210000)
