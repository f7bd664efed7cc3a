_base_ = [
    '../_base_/models/frozen/tcore-vit-small-p16.py',
    '../_base_/protocols/cropmae.py',
    '../_base_/datasets/vip_propagation.py',
    '../_base_/propagation_runtime.py',
]

model = dict(backbone=_base_.encoder, protocol=_base_.protocols.vip)
test_dataloader = dict(dataset=dict(pipeline=_base_.test_pipelines.vip))
