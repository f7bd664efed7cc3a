# The small tracker from DINOv2-S, trained on with two templates for a quarter of its steps, at less than a third of its
# learning rate (docs/results/dinov2_tracker.md). Start from the tracker that was trained with one:
#   --cfg-options load_from=work_dirs/droptrack_vit-small-p14-dinov2-224_1xb16-16e_sequences/epoch_16.pth
_base_ = './droptrack_vit-small-p14-dinov2-224_1xb16-16e_sequences.py'

model = dict(test_cfg=dict(online_template=dict(type='mmvidmae.IntervalScorePolicy')))

train_pipeline = _base_.train_pipeline
train_pipeline[0].num_templates = train_pipeline[3].num_templates = train_pipeline[4].num_template_frames = 2
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
train_cfg = dict(max_epochs=4)  # 12,800 samples
optim_wrapper = dict(optimizer=dict(lr=3e-4))
param_scheduler = [
    dict(type='mmvidmae.LinearLR', start_factor=0.01, by_epoch=False, end=50),
    dict(type='CosineAnnealingLR', by_epoch=False, begin=50, end=800),
]
