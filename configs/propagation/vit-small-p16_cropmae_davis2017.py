_base_ = [
    '../_base_/propagation/vit-small-p16.py',
    '../_base_/propagation/cropmae.py',
    '../_base_/datasets/davis2017_propagation.py',
    '../_base_/propagation/runtime.py',
]

model = dict(protocol=_base_.protocol, data_preprocessor=_base_.data_preprocessor)
test_pipeline = [
    dict(type='mmvidmae.LoadVideoFrames', size=(480, 880)),
    dict(type='mmvidmae.PackVideoSequence'),
]
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
