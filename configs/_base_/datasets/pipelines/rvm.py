# Clips of RVM: 4 sources in a row, then 4 targets 4 to 48 frames after them (the paper's gap). Our reading: from which
# frame the gap counts; SiamMAE's crop and flip, one for all frames of a clip.
train_pipeline = [
    dict(type='mmvidmae.SampleFrames', num_frames=8, num_sources=4, gap=(4, 48), draw_first='gap'),
    dict(type='mmvidmae.LoadFramePairs'),
    dict(type='mmvidmae.PairRandomResizedCrop', size=256, scale=(0.5, 1.0), interpolation='bicubic', shared=True),
    dict(type='mmvidmae.PairRandomFlip', prob=0.5, shared=True),
    dict(type='mmvidmae.PackPairs'),
]
val_pipeline = [
    dict(type='mmvidmae.SampleFrames', num_frames=8, num_sources=4, gap=(4, 48), draw_first='gap'),
    dict(type='mmvidmae.LoadFramePairs'),
    dict(type='mmvidmae.PairResize', size=288),
    dict(type='mmvidmae.PairCenterCrop', size=256),
    dict(type='mmvidmae.PackPairs'),
]
