_base_ = [
    '../_base_/models/frozen/vit-small-p16.py',
    '../_base_/protocols/crw.py',
    '../_base_/datasets/davis2017_propagation.py',
    '../_base_/propagation_runtime.py',
]

model = dict(backbone=_base_.encoder, protocol=_base_.protocols.vos)
test_pipeline = _base_.test_pipelines.vos
test_pipeline[0].divisor = 16  # the stride
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
