# LaSOT, GOT-10k without the videos that VOT has, COCO and TrackingNet, a quarter of the pairs from each.
train_dataloader = dict(
    batch_size=32,
    num_workers=10,
    persistent_workers=True,
    sampler=dict(type='mmvidmae.PairSampler', samples_per_epoch=60000),
    dataset=dict(
        type='mmvidmae.RandomSampleConcatDataset',
        dataset_sampling_weights=[1, 1, 1, 1],
        datasets=[
            dict(
                type='LaSOTDataset',
                data_root='data/',
                ann_file='LaSOT_full/annotations/lasot_train_infos.txt',
                data_prefix=dict(img_path='LaSOT_full/LaSOTBenchmark'),
            ),
            dict(
                type='GOT10kDataset',
                data_root='data/',
                ann_file='GOT10k/annotations/got10k_train_vot_infos.txt',
                data_prefix=dict(img_path='GOT10k'),
            ),
            dict(
                type='SOTCocoDataset',
                data_root='data/',
                ann_file='coco/annotations/instances_train2017.json',
                data_prefix=dict(img_path='coco/train2017'),
            ),
            dict(
                type='TrackingNetDataset',
                data_root='data/',
                ann_file='TrackingNet/annotations/trackingnet_train_infos.txt',
                data_prefix=dict(img_path='TrackingNet'),
            ),
        ],
    ),
)
