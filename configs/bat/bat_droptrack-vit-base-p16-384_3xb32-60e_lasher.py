# BAT from DropTrack at DropTrack's larger size: template 192, search region 384, with its crops. The authors' recipe is
# for 256; the rest is theirs.
_base_ = './bat_droptrack-vit-base-p16-256_3xb32-60e_lasher.py'

model = dict(template_size=192, search_size=384, search_factor=5.0)
train_pipeline = _base_.train_pipeline
train_pipeline[3].update(factors=(2.0, 5.0), sizes=(192, 384), center_jitter=(0.0, 4.5), scale_jitter=(0.0, 0.5))
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
