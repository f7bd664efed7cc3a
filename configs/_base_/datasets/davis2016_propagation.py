# DAVIS-2016 val, 480p, one object a sequence: data/DAVIS/{JPEGImages,Annotations}/480p, ImageSets/2016/val.txt.
test_dataloader = dict(
    batch_size=1,  # an item is a whole video
    num_workers=2,
    persistent_workers=False,
    sampler=dict(type='DefaultSampler', shuffle=False, round_up=False),
    collate_fn=dict(type='pseudo_collate'),
    dataset=dict(
        type='mmvidmae.DAVISDataset',
        data_root='data/DAVIS',
        year='2016',
        split='val',
        pipeline=[
            dict(type='mmvidmae.LoadVideoFrames', size=(480, 880)),
            dict(type='mmvidmae.PackVideoSequence'),
        ],
    ),
)
test_evaluator = dict(type='mmvidmae.VideoSegmentationMetric', out_dir='predictions', merge_objects=True)
test_cfg = dict()
