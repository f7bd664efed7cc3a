# Pairs of RSP (github.com/huiwon-jang/RSP at 5ea2b91): frames 4 to 48 apart, the start leaves room for the largest gap
# (util/kinetics.py:94-109). One crop and one flip for both frames.
train_pipeline = [
    dict(type='mmvidmae.SampleFrames', gap=(4, 48), draw_first='room', short='different'),
    dict(type='mmvidmae.LoadFramePairs'),
    dict(type='mmvidmae.PairRandomResizedCrop', size=224, scale=(0.5, 1.0), interpolation='bicubic', shared=True),
    dict(type='mmvidmae.PairRandomFlip', prob=0.5, shared=True),
    dict(type='mmvidmae.PackPairs'),
]
val_pipeline = [
    dict(type='mmvidmae.SampleFrames', gap=(4, 48), draw_first='room', short='different'),
    dict(type='mmvidmae.LoadFramePairs'),
    dict(type='mmvidmae.PairResize', size=256),
    dict(type='mmvidmae.PairCenterCrop', size=224),
    dict(type='mmvidmae.PackPairs'),
]
