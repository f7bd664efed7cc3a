# Co-Settle at the same size, on the encoder of the small MAE.
_base_ = [
    '../_base_/models/cosettle.py',
    '../_base_/models/tiny6.py',
    '../_base_/datasets/small.py',
    '../_base_/datasets/pipelines/cosettle.py',
    '../_base_/schedules/adamw_siammae.py',
    '../_base_/schedules/coslr_20e.py',
    '../_base_/default_runtime.py',
]

model = dict(
    backbone=dict(
        encoder=dict(
            _base_.tiny6,
            init_cfg=dict(type='Pretrained', checkpoint='work_dirs/small/mae-0/epoch_20.pth', prefix='backbone.'),
        )
    )
)

# 0.15 of the part of a clip that is trained on, as in the full-size recipe.
train_pipeline = _base_.train_pipeline
train_pipeline[0].span = (0.0, 0.8)
train_pipeline[2].size = 96
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
# The loss of held-out pairs says little of an adapter.
val_dataloader = val_evaluator = val_cfg = None
test_dataloader = test_evaluator = test_cfg = None

optim_wrapper = dict(type='OptimWrapper', optimizer=dict(lr=1e-3))  # fp32, as it is meant for a CPU
default_hooks = dict(checkpoint=dict(interval=5, max_keep_ckpts=-1))
