_base_ = [
    '../_base_/propagation/vit-small-p8.py',
    '../_base_/propagation/cropmae.py',
    '../_base_/datasets/jhmdb_propagation.py',
    '../_base_/propagation/runtime.py',
]

model = dict(protocol=_base_.protocol, data_preprocessor=_base_.data_preprocessor)
test_pipeline = [
    dict(type='mmvidmae.LoadVideoFrames', size=(320, 320)),
    dict(type='mmvidmae.PackVideoSequence'),
]
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
