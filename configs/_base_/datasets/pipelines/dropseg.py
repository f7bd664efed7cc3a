# Pairs and videos of DropSeg (github.com/jimmy-dq/DropSeg at 7f5e082: dataset/vos_dataset.py,
# inference_core.py:80-102).
train_pipeline = [
    dict(type='mmvidmae.VOSPairAugment', size=384),
    dict(type='mmvidmae.PackVOSInputs', max_objects=2),
]
# Frames of a short side of 480 pixels, as they are; the model pads them to patches.
test_pipeline = [
    dict(type='mmvidmae.LoadVideoFrames', short_side=480, divisor=1),
    dict(type='mmvidmae.PackVideoSequence'),
]
