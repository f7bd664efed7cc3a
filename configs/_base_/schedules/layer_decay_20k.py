# 20,000 iterations with AdamW and a lr that falls by 0.65 with each layer below the heads, as mmseg tunes MAE.
_base_ = 'mmseg::_base_/schedules/schedule_20k.py'

optim_wrapper = dict(
    _delete_=True,
    type='AmpOptimWrapper',
    optimizer=dict(type='AdamW', lr=1e-4, betas=(0.9, 0.999), weight_decay=0.05),
    # mmseg's own; it goes by the MAE in the backbone's class name
    constructor='LearningRateDecayOptimizerConstructor',
    paramwise_cfg=dict(num_layers=12, decay_rate=0.65, decay_type='layer_wise'),
)
param_scheduler = [
    dict(type='mmvidmae.LinearLR', start_factor=1e-6, by_epoch=False, begin=0, end=500),
    dict(type='PolyLR', eta_min=0.0, power=1.0, begin=500, end=20000, by_epoch=False),
]
default_hooks = dict(
    param_scheduler=dict(type='mmvidmae.ScheduleHook'), checkpoint=dict(type='mmvidmae.AtomicCheckpointHook')
)
