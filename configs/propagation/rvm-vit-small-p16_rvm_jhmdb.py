_base_ = [
    '../_base_/models/frozen/rvm-vit-small-p16.py',
    '../_base_/protocols/rvm.py',
    '../_base_/datasets/jhmdb_propagation.py',
    '../_base_/propagation_runtime.py',
]

model = dict(backbone=_base_.encoder, protocol=_base_.protocols.jhmdb)
test_dataloader = dict(dataset=dict(pipeline=_base_.test_pipelines.jhmdb))
