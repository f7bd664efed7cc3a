_base_ = [
    '../_base_/models/frozen/rvm-vit-small-p16.py',
    '../_base_/models/frozen_tracker.py',
    '../_base_/datasets/otb100_sot.py',
    '../_base_/tracking_runtime.py',
]

model = dict(
    backbone=_base_.encoder,
    search_size=288,
    data_preprocessor=dict(mean=(0.0, 0.0, 0.0), std=(255.0, 255.0, 255.0)),  # RVM reads pixels in 0..1
)
