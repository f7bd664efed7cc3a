# GOT-10k's protocol: nothing but its 9,335 training videos.
train_dataloader = dict(
    batch_size=32,
    num_workers=10,
    persistent_workers=True,
    sampler=dict(type='mmvidmae.PairSampler', samples_per_epoch=60000),
    dataset=dict(
        type='mmvidmae.GOT10kDataset',
        data_root='data/',
        ann_file='GOT10k/annotations/got10k_train_infos.txt',
        data_prefix=dict(img_path='GOT10k'),
    ),
)
