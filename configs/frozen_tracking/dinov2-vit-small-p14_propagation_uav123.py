_base_ = [
    '../_base_/models/frozen/dinov2-vit-small-p14.py',
    '../_base_/models/frozen_tracker.py',
    '../_base_/datasets/uav123_sot.py',
    '../_base_/tracking_runtime.py',
]

model = dict(backbone=_base_.encoder, search_size=252)
