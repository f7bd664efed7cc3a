# HIPTrack's optimizer and schedule (github.com/WenRuiCai/HIPTrack at 371b753: hiptrack.yaml:66-79,
# lib/config/hiptrack/config.py:56-57), in single precision: one learning rate, a tenth of it from epoch 80 on.
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=1e-4, weight_decay=1e-4),  # for a total batch of 128
    constructor='mmvidmae.SummarizingOptimWrapperConstructor',
    clip_grad=dict(max_norm=0.1),
)
auto_scale_lr = dict(base_batch_size=128)
param_scheduler = dict(type='MultiStepLR', milestones=[80], gamma=0.1)
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=100)
custom_hooks = [
    dict(type='mmvidmae.StepSeedHook'),
    dict(type='mmvidmae.NonFiniteLossHook'),
    dict(type='mmvidmae.PreemptionHook'),  # SIGTERM or SIGUSR1: save and stop
    dict(type='mmvidmae.CandidateEliminationHook', start=20, warmup=80),
]
