_base_ = [
    '../_base_/models/frozen/vit-tiny6-p8.py',
    '../_base_/models/frozen_tracker.py',
    '../_base_/datasets/sequences_sot.py',
    '../_base_/tracking_runtime.py',
]

model = dict(backbone=_base_.encoder, search_size=144)
