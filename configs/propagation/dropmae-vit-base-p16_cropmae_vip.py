_base_ = [
    '../_base_/propagation/dropmae-vit-base-p16.py',
    '../_base_/propagation/cropmae.py',
    '../_base_/datasets/vip_propagation.py',
    '../_base_/propagation/runtime.py',
]

model = dict(protocol=dict(topk=10, **_base_.protocol), data_preprocessor=_base_.data_preprocessor)
test_pipeline = [
    dict(type='mmvidmae.LoadVideoFrames', long_side=880),
    dict(type='mmvidmae.PackVideoSequence'),
]
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
