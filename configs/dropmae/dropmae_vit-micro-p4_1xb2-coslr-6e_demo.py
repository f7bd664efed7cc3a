# DropMAE, as small as shows the method at work within two minutes on two cores: `make demo`.
_base_ = [
    '../_base_/models/dropmae.py',
    '../_base_/datasets/demo.py',
    '../_base_/datasets/pipelines/dropmae.py',
    '../_base_/schedules/adamw_dropmae.py',
    '../_base_/schedules/coslr_6e.py',
    '../_base_/default_runtime.py',
]

model = dict(
    backbone=dict(
        arch=dict(_delete_=True, embed_dims=128, num_layers=4, num_heads=4, feedforward_channels=512),
        img_size=48,
        patch_size=4,
    ),
    neck=dict(decoder_dims=128, depth=2, num_heads=4),
)

# A few short clips teach little of large motion: neighboring frames, and one crop for both of them.
# The last fifth of every clip is held out.
train_pipeline = _base_.train_pipeline
train_pipeline[0].update(gap=(1, 12), draw_first='gap', span=(0.0, 0.8))
train_pipeline[2].update(size=48, scale=(0.5, 1.0), shared=True)
train_pipeline[3].shared = True
val_pipeline = _base_.val_pipeline
val_pipeline[0].update(gap=(1, 12), draw_first='gap', span=(0.8, 1.0))
val_pipeline[2].size = val_pipeline[3].size = 48
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=val_pipeline))
test_dataloader = val_dataloader

# Small batches and a high lr learn most in 768 steps; fp32, as it is meant for a CPU.
optim_wrapper = dict(type='OptimWrapper', optimizer=dict(lr=1.2e-3))
default_hooks = dict(checkpoint=dict(interval=1, max_keep_ckpts=1))
