# What training and tests of video object segmentation share. No custom_imports are needed.
default_scope = 'mmpretrain'

default_hooks = dict(
    timer=dict(type='IterTimerHook'),
    logger=dict(type='LoggerHook', interval=50),
    param_scheduler=dict(type='mmvidmae.ScheduleHook'),
    checkpoint=dict(type='mmvidmae.AtomicCheckpointHook', by_epoch=False, interval=10000, max_keep_ckpts=3),
    sampler_seed=dict(type='DistSamplerSeedHook'),
    weights=dict(type='mmvidmae.WeightsRecordHook'),  # which weights are scored, for the log and the score files
    # The loss is over all pixels to iteration 20,000 and over the hardest 15 % from 70,000 (DropSeg's losses.py:26-46).
    top_share=dict(
        type='mmvidmae.AttributeScheduleHook',
        attribute='loss_decode.top_share',
        begin=20000,
        end=70000,
        start_value=1.0,
        end_value=0.15,
    ),
    progress=dict(type='mmvidmae.FrameProgressHook'),  # frames done and time left in a test, every 10 seconds
)
custom_hooks = [
    dict(type='mmvidmae.StepSeedHook'),  # noise and data follow from the step: a resumed run goes on with its own
    dict(type='mmvidmae.NonFiniteLossHook'),
    dict(type='mmvidmae.PreemptionHook'),  # SIGTERM or SIGUSR1: save and stop
    dict(type='mmvidmae.PropagationVisHook'),  # contact sheets of the predictions in the work dir
]

env_cfg = dict(
    cudnn_benchmark=True,
    mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0),
    dist_cfg=dict(backend='nccl'),
)

vis_backends = [dict(type='LocalVisBackend')]
visualizer = dict(type='Visualizer', vis_backends=vis_backends)

randomness = dict(seed=0)
log_processor = dict(by_epoch=False)
log_level = 'INFO'
load_from = None
resume = False
