# HIPTrack at DropTrack's smaller size: template 128, search region 256, with its crops. The authors' recipe is for 384;
# the rest is theirs.
_base_ = './hiptrack_vit-base-p16-384_4xb32-100e_got10k.py'

model = dict(template_size=128, search_size=256, search_factor=4.0)
train_pipeline = _base_.train_pipeline
train_pipeline[3].update(factors=(2.0, 4.0), sizes=(128, 256), center_jitter=(0.0, 3.0), scale_jitter=(0.0, 0.25))
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
