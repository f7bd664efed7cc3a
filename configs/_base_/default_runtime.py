# What every run shares. Types without a prefix are mmpretrain's or MMEngine's, ours carry `mmvidmae.`: no
# custom_imports are needed.
default_scope = 'mmpretrain'

default_hooks = dict(
    timer=dict(type='IterTimerHook'),
    logger=dict(type='LoggerHook', interval=10),  # an epoch of K400 has 58 iterations of 4096 pairs
    param_scheduler=dict(type='mmvidmae.ScheduleHook'),  # a resumed run follows the schedule of its config
    # Every 20 epochs and after the last, as the authors of DropMAE save (main_pretrain_kinetics.py:214).
    checkpoint=dict(type='mmvidmae.AtomicCheckpointHook', interval=20, max_keep_ckpts=3),
    sampler_seed=dict(type='DistSamplerSeedHook'),
    weights=dict(type='mmvidmae.WeightsRecordHook'),  # which weights are scored, for the log and the score files
)

custom_hooks = [
    dict(type='mmvidmae.StepSeedHook'),  # noise of a step follows from seed, step and rank: a resumed run repeats it
    dict(type='mmvidmae.NonFiniteLossHook'),  # a NaN or inf loss stops all ranks together
    dict(type='mmvidmae.PreemptionHook'),  # SIGTERM or SIGUSR1: save and stop
    dict(type='mmvidmae.SkippedVideoHook'),  # unreadable videos are counted in the log and listed in the work dir
    dict(type='mmvidmae.ReconstructionVisHook'),  # pictures from validation and test: original, masked, reconstruction
]

env_cfg = dict(
    cudnn_benchmark=True,
    mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0),
    dist_cfg=dict(backend='nccl'),
)

vis_backends = [dict(type='LocalVisBackend'), dict(type='TensorboardVisBackend')]
visualizer = dict(type='Visualizer', vis_backends=vis_backends)

# All ranks share one seed, from which data and masks are drawn pair by pair; StepSeedHook tells the ranks' noise apart.
randomness = dict(seed=0)

log_level = 'INFO'
load_from = None
resume = False
