# Clips of CatMAE (github.com/minhoooo1/CatMAE at 0fb1f60: file:line below): three frames, each 4 to 48 after the one
# before it (kinetics_dataset.py:66-84). The second clip of each video runs backward (`use_vire` in the code, off in its
# configs and on in the paper). One crop and one flip for the whole clip.
train_pipeline = [
    dict(
        type='mmvidmae.SampleFrames',
        num_frames=3,
        gap=(4, 48),
        draw_first='room',
        spacing='own',
        short='different',
        reverse='alternate',
    ),
    dict(type='mmvidmae.LoadFramePairs'),
    dict(type='mmvidmae.PairRandomResizedCrop', size=224, scale=(0.5, 1.0), interpolation='bicubic', shared=True),
    dict(type='mmvidmae.PairRandomFlip', prob=0.5, shared=True),
    dict(type='mmvidmae.PackPairs'),
]
val_pipeline = [
    dict(type='mmvidmae.SampleFrames', num_frames=3, gap=(4, 48), draw_first='room', spacing='own', short='different'),
    dict(type='mmvidmae.LoadFramePairs'),
    dict(type='mmvidmae.PairResize', size=256),
    dict(type='mmvidmae.PairCenterCrop', size=224),
    dict(type='mmvidmae.PackPairs'),
]
