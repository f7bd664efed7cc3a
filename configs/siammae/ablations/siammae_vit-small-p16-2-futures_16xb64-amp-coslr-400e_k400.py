# Two future frames, each predicted from the past frame and what is visible of itself. Their gaps are different.
_base_ = '../siammae_vit-small-p16_16xb64-amp-coslr-400e_k400.py'

model = dict(
    num_frames=3,
    masking=dict(mask_ratio=(0.0, 0.95, 0.95)),
    neck=dict(
        branches=(
            dict(targets=(1,), memory=(0,), weight=1 / 2, name='future1'),
            dict(targets=(2,), memory=(0,), weight=1 / 2, name='future2'),
        )
    ),
)

train_pipeline, val_pipeline = _base_.train_pipeline, _base_.val_pipeline
for pipeline in (train_pipeline, val_pipeline):
    pipeline[0].update(type='mmvidmae.SampleFrames', num_frames=3)
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=val_pipeline))
test_dataloader = val_dataloader
