# What every frozen evaluation shares. No custom_imports are needed.
default_scope = 'mmpretrain'

default_hooks = dict(
    timer=dict(type='IterTimerHook'),
    logger=dict(type='LoggerHook', interval=1),
    weights=dict(type='mmvidmae.WeightsRecordHook'),  # which weights are scored, for the log and the score files
    progress=dict(type='mmvidmae.FrameProgressHook'),  # frames done and time left, every 10 seconds
)
custom_hooks = [dict(type='mmvidmae.PropagationVisHook')]  # contact sheets of the predictions in the work dir

env_cfg = dict(
    cudnn_benchmark=False,
    mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0),
    dist_cfg=dict(backend='nccl'),
)

vis_backends = [dict(type='LocalVisBackend')]
visualizer = dict(type='Visualizer', vis_backends=vis_backends)

randomness = dict(seed=0)  # of untrained encoders
log_level = 'INFO'
load_from = None
resume = False
