# DropTrack's schedule for GOT-10k alone: the lr falls to a tenth at epoch 80; candidate elimination begins at epoch
# 20 and reaches its rate 50 epochs later.
param_scheduler = dict(type='MultiStepLR', milestones=[80], gamma=0.1)
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=100)
custom_hooks = [
    dict(type='mmvidmae.StepSeedHook'),
    dict(type='mmvidmae.NonFiniteLossHook'),
    dict(type='mmvidmae.PreemptionHook'),  # SIGTERM or SIGUSR1: save and stop
    dict(type='mmvidmae.CandidateEliminationHook', start=20, warmup=50),
]
