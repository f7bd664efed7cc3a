# BAT from DropTrack with all parameters trained and two templates, as its forks do (github.com/penghao112104/SFETrack
# at c2cc4e2: experiments/rgbt.yaml): the encoder at a tenth of the learning rate, 40 epochs. In tests the second
# template is replaced every 50 frames where the score is above 0.65 (lib/test/tracker/bat.py:45-47); the fork takes the
# best frame of the 50, and only if it finds the first target again.
_base_ = './bat_droptrack-vit-base-p16-256_3xb32-60e_lasher.py'

model = dict(
    adapters_only=False,
    test_cfg=dict(online_template=dict(type='mmvidmae.IntervalScorePolicy', interval=50, min_score=0.65)),
)
train_pipeline = _base_.train_pipeline
train_pipeline[0].num_templates = train_pipeline[3].num_templates = train_pipeline[4].num_template_frames = 2
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
optim_wrapper = dict(optimizer=dict(lr=1e-4), paramwise_cfg=dict(custom_keys=dict(backbone=dict(lr_mult=0.1))))
auto_scale_lr = dict(base_batch_size=32)
param_scheduler = dict(milestones=[20])
train_cfg = dict(max_epochs=40)
