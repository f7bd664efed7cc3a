# Clips of short side 112 and short GOPs, and a list of them that is repeated to some length:
#   python tools/dataset_converters/resize_videos.py VIDEOS data/small/clips --short-side 112
# tools/experiments writes the list. There are no held-out clips: the last fifth of every clip is kept for validation.
_base_ = './loaders.py'

train_dataloader = dict(
    batch_size=8,  # videos; 4 pairs of each
    num_workers=1,
    pin_memory=False,
    dataset=dict(
        type='mmvidmae.VideoPairDataset',
        data_root='data/small',
        ann_file='clips.txt',
        data_prefix=dict(video='clips'),
        repeated_sampling=4,
    ),
)
val_dataloader = dict(
    batch_size=32,
    num_workers=1,
    pin_memory=False,
    dataset=dict(
        type='mmvidmae.VideoPairDataset',
        data_root='data/small',
        ann_file='clips.txt',
        data_prefix=dict(video='clips'),
        indices=256,
    ),
)
test_dataloader = val_dataloader
