# T-CoRe at the same size, with a smaller head. 1 clip of each video: it has 3 frames with two global crops each, and 4
# local crops of a quarter of their area.
_base_ = [
    '../_base_/models/tcore.py',
    '../_base_/models/tiny6.py',
    '../_base_/datasets/small.py',
    '../_base_/datasets/pipelines/tcore.py',
    '../_base_/schedules/adamw_tcore.py',
    '../_base_/schedules/coslr_20e.py',
    '../_base_/default_runtime.py',
]

model = dict(
    backbone=_base_.tiny6,
    neck=dict(num_heads=3),
    head=dict(num_prototypes=1024, hidden_dims=256, bottleneck_dims=64),
)

train_pipeline = _base_.train_pipeline
train_pipeline[0].span = (0.0, 0.8)
train_pipeline[2].update(size=96, local_size=48, num_local=4)
train_dataloader = dict(dataset=dict(repeated_sampling=1, pipeline=train_pipeline))
# A loss without the teacher's schedule tells nothing.
val_dataloader = val_evaluator = val_cfg = None
test_dataloader = test_evaluator = test_cfg = None

# The rule of the authors for 8 videos in a step, without their mixed precision and schedule of the weight decay.
optim_wrapper = dict(type='OptimWrapper', optimizer=dict(lr=0.002 * (8 / 1024) ** 0.5))
custom_hooks = [*_base_.custom_hooks, dict(type='mmvidmae.TeacherHook', temperature_epochs=2)]
default_hooks = dict(checkpoint=dict(interval=5, max_keep_ckpts=-1))
