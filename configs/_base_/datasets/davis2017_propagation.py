# DAVIS-2017 val, 480p: data/DAVIS/{JPEGImages,Annotations}/480p, ImageSets/2017/val.txt. 30 sequences, 61 objects.
test_dataloader = dict(
    batch_size=1,  # an item is a whole video
    num_workers=2,
    persistent_workers=False,
    sampler=dict(type='DefaultSampler', shuffle=False, round_up=False),
    collate_fn=dict(type='pseudo_collate'),
    dataset=dict(
        type='mmvidmae.DAVISDataset',
        data_root='data/DAVIS',
        year='2017',
        split='val',
        pipeline=[
            dict(type='mmvidmae.LoadVideoFrames', size=(480, 880)),
            dict(type='mmvidmae.PackVideoSequence'),
        ],
    ),
)
test_evaluator = dict(type='mmvidmae.VideoSegmentationMetric', out_dir='predictions')
test_cfg = dict()
