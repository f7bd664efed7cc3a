# Pairs of DropMAE (github.com/jimmy-dq/DropMAE at 4de150d): frames 1 to 49 apart, the start drawn first
# (KineticsDataset.py:69-70). Crop and flip are drawn for each frame by itself (KineticsDataset.py:78;
# main_pretrain_kinetics.py:140-144).
train_pipeline = [
    dict(type='mmvidmae.SampleFramePairs', gap=(1, 49), draw_first='start'),
    dict(type='mmvidmae.LoadFramePairs'),
    dict(type='mmvidmae.PairRandomResizedCrop', size=224, scale=(0.2, 1.0), interpolation='bicubic', shared=False),
    dict(type='mmvidmae.PairRandomFlip', prob=0.5, shared=False),
    dict(type='mmvidmae.PackPairs'),
]
val_pipeline = [
    dict(type='mmvidmae.SampleFramePairs', gap=(1, 49), draw_first='start'),
    dict(type='mmvidmae.LoadFramePairs'),
    dict(type='mmvidmae.PairResize', size=256),
    dict(type='mmvidmae.PairCenterCrop', size=224),
    dict(type='mmvidmae.PackPairs'),
]
