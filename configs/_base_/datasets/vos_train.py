# DAVIS-2017's training set five times and YouTube-VOS's (2019): data/DAVIS, data/YouTubeVOS/train.
train_dataloader = dict(
    batch_size=4,
    num_workers=8,
    persistent_workers=True,
    pin_memory=True,
    sampler=dict(type='mmvidmae.InfinitePairSampler'),
    collate_fn=dict(type='default_collate'),
    dataset=dict(
        type='ConcatDataset',
        ignore_keys=['dataset_type'],
        datasets=[
            dict(
                type='mmvidmae.VOSPairDataset',
                videos=dict(type='mmvidmae.DAVISDataset', data_root='data/DAVIS', year='2017', split='train'),
                max_gap=24,
                repeat=5,
            ),
            dict(
                type='mmvidmae.VOSPairDataset',
                videos=dict(type='mmvidmae.YouTubeVOSDataset', data_root='data/YouTubeVOS', split='train'),
                max_gap=4,  # in annotated frames, which are 5 frames of the video apart
            ),
        ],
    ),
)
