_base_ = [
    '../_base_/propagation/dropmae-vit-base-p16.py',
    '../_base_/propagation/dino.py',
    '../_base_/datasets/davis2017_propagation.py',
    '../_base_/propagation/runtime.py',
]

model = dict(protocol=_base_.protocol, data_preprocessor=_base_.data_preprocessor)
test_pipeline = [
    dict(type='mmvidmae.LoadVideoFrames', short_side=480),
    dict(type='mmvidmae.PackVideoSequence'),
]
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
