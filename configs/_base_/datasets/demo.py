# What `make demo` (tools/demo.py) prepares: a few clips of short side 96 and short GOPs, and a list that repeats them
# to 1024 lines, so that an epoch is longer than a moment. The first 80 % of every clip is trained on, pairs from the
# rest validate.
_base_ = './loaders.py'

train_dataloader = dict(
    batch_size=2,  # videos; 4 pairs of each
    num_workers=1,
    pin_memory=False,
    dataset=dict(
        type='mmvidmae.VideoPairDataset',
        data_root='work_dirs/demo',
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
        data_root='work_dirs/demo',
        ann_file='clips.txt',
        data_prefix=dict(video='clips'),
        indices=64,
    ),
)
test_dataloader = val_dataloader
