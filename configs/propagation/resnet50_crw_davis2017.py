_base_ = [
    '../_base_/propagation/resnet50.py',
    '../_base_/propagation/crw.py',
    '../_base_/datasets/davis2017_propagation.py',
    '../_base_/propagation/runtime.py',
]

model = dict(protocol=_base_.protocol, data_preprocessor=_base_.data_preprocessor)
test_pipeline = [
    dict(type='mmvidmae.LoadVideoFrames', divisor=8),
    dict(type='mmvidmae.PackVideoSequence'),
]
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
