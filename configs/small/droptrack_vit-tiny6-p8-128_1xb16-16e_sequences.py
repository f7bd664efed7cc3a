# The small tracker on 51,200 pairs: 8 x 8 cells of the template, 16 x 16 of the search region. It trains in about an
# hour on one core, in bfloat16 on CPUs that have it.
_base_ = './droptrack_vit-tiny6-p8-96_1xb16-1e_sequences.py'

model = dict(template_size=64, search_size=128)

train_pipeline = _base_.train_pipeline
train_pipeline[3].update(sizes=(64, 128), center_jitter=(0.0, 3.0), scale_jitter=(0.0, 0.25))  # as OSTrack at 256
train_dataloader = dict(sampler=dict(samples_per_epoch=3200), dataset=dict(pipeline=train_pipeline))
train_cfg = dict(max_epochs=16)
optim_wrapper = dict(type='mmvidmae.CPUAmpOptimWrapper', optimizer=dict(lr=1e-3))
param_scheduler = [
    dict(type='mmvidmae.LinearLR', start_factor=0.01, by_epoch=False, end=100),
    dict(type='CosineAnnealingLR', by_epoch=False, begin=100, end=3200),
]
default_hooks = dict(checkpoint=dict(interval=1, max_keep_ckpts=3))
