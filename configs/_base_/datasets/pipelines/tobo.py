# Pairs of ToBo (github.com/naver-ai/tobo at fa41194: file:line below): frames 1 to 96 apart. One crop and one flip for
# both frames, without the authors' shift of the second crop (configs/tobo/README.md).
train_pipeline = [
    # util/kinetics_mfmae.py:238-264; docs/Train.md:12
    dict(type='mmvidmae.SampleFrames', gap=(1, 96), draw_first='room', short='gap'),
    dict(type='mmvidmae.LoadFramePairs'),
    # util/kinetics_mfmae.py:151,164-172
    dict(type='mmvidmae.PairRandomResizedCrop', size=224, scale=(0.5, 1.0), interpolation='bicubic', shared=True),
    dict(type='mmvidmae.PairRandomFlip', prob=0.5, shared=True),
    dict(type='mmvidmae.PackPairs'),
]
val_pipeline = [
    dict(type='mmvidmae.SampleFrames', gap=(1, 96), draw_first='room', short='gap'),
    dict(type='mmvidmae.LoadFramePairs'),
    dict(type='mmvidmae.PairResize', size=256),
    dict(type='mmvidmae.PairCenterCrop', size=224),
    dict(type='mmvidmae.PackPairs'),
]
