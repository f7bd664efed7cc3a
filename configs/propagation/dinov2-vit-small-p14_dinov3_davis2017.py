_base_ = [
    '../_base_/models/frozen/dinov2-vit-small-p14.py',
    '../_base_/protocols/dinov3.py',
    '../_base_/datasets/davis2017_propagation.py',
    '../_base_/propagation_runtime.py',
]

model = dict(backbone=_base_.encoder, protocol=_base_.protocols.vos)
# the grid that the protocol has with patches of 16 pixels: inputs of 14 / 16 of its size
test_dataloader = dict(
    dataset=dict(
        pipeline=[
            dict(type='mmvidmae.LoadVideoFrames', short_side=840, divisor=14, round_up=True, interpolation='bicubic'),
            dict(type='mmvidmae.PackVideoSequence'),
        ]
    )
)
