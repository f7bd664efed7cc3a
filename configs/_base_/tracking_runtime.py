# What runs in mmtrack's scope share: types without a prefix are mmtrack's.
default_scope = 'mmtrack'

default_hooks = dict(
    timer=dict(type='IterTimerHook'),
    logger=dict(type='LoggerHook', interval=50),
    param_scheduler=dict(type='mmvidmae.ScheduleHook'),
    checkpoint=dict(type='mmvidmae.AtomicCheckpointHook', interval=10, max_keep_ckpts=3),
    sampler_seed=dict(type='DistSamplerSeedHook'),
    weights=dict(type='mmvidmae.WeightsRecordHook'),  # which weights are scored, for the log and the score files
)
env_cfg = dict(
    cudnn_benchmark=False,
    mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0),
    dist_cfg=dict(backend='nccl'),
)
vis_backends = [dict(type='LocalVisBackend')]
visualizer = dict(type='TrackLocalVisualizer', vis_backends=vis_backends)
randomness = dict(seed=42)  # as the authors'; StepSeedHook tells the ranks' noise apart
log_level = 'INFO'
load_from = None
resume = False
