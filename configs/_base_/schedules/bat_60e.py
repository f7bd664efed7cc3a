# BAT's optimizer and schedule (github.com/SparkTempest/BAT at ccf9b2f: rgbt.yaml:50-66), in single precision.
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=4e-4, weight_decay=1e-4),  # for a total batch of 96
    constructor='mmvidmae.SummarizingOptimWrapperConstructor',
    clip_grad=dict(max_norm=0.1),
)
auto_scale_lr = dict(base_batch_size=96)
param_scheduler = dict(type='MultiStepLR', milestones=[48], gamma=0.1)
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=60)
custom_hooks = [
    dict(type='mmvidmae.StepSeedHook'),
    dict(type='mmvidmae.NonFiniteLossHook'),
    dict(type='mmvidmae.PreemptionHook'),  # SIGTERM or SIGUSR1: save and stop
    dict(type='mmvidmae.CandidateEliminationHook', start=4, warmup=16),
]
