# DropTrack at OSTrack's smaller size: template 128, search region 256 and four times the target's size, less jitter.
_base_ = './droptrack.py'

template_size, search_size = 128, 256
model = dict(template_size=template_size, search_size=search_size, search_factor=4.0)
train_pipeline = _base_.train_pipeline
train_pipeline[3].update(
    factors=(2.0, 4.0), sizes=(template_size, search_size), center_jitter=(0.0, 3.0), scale_jitter=(0.0, 0.25)
)
