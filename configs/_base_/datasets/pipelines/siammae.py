# Pairs of SiamMAE (table 4a): frames 4 to 48 apart. One crop and one flip for both frames of a pair (as CropMAE and RSP
# read the paper), MAE's bicubic interpolation.
train_pipeline = [
    dict(type='mmvidmae.SampleFramePairs', gap=(4, 48), draw_first='gap'),
    dict(type='mmvidmae.LoadFramePairs'),
    dict(type='mmvidmae.PairRandomResizedCrop', size=224, scale=(0.5, 1.0), interpolation='bicubic', shared=True),
    dict(type='mmvidmae.PairRandomFlip', prob=0.5, shared=True),
    dict(type='mmvidmae.PackPairs'),
]
val_pipeline = [
    dict(type='mmvidmae.SampleFramePairs', gap=(4, 48), draw_first='gap'),
    dict(type='mmvidmae.LoadFramePairs'),
    dict(type='mmvidmae.PairResize', size=256),
    dict(type='mmvidmae.PairCenterCrop', size=224),
    dict(type='mmvidmae.PackPairs'),
]
