# VIP val: data/VIP/{Images,Annotations/Category_ids,lists/val_videos.txt}. 50 videos, 20 classes.
test_dataloader = dict(
    batch_size=1,  # an item is a whole video
    num_workers=2,
    persistent_workers=False,
    sampler=dict(type='DefaultSampler', shuffle=False, round_up=False),
    collate_fn=dict(type='pseudo_collate'),
    dataset=dict(
        type='mmvidmae.VIPDataset',
        data_root='data/VIP',
        pipeline=[
            dict(type='mmvidmae.LoadVideoFrames', size=(560, 560)),
            dict(type='mmvidmae.PackVideoSequence'),
        ],
    ),
)
test_evaluator = dict(type='mmvidmae.PartSegmentationMetric', out_dir='predictions')
test_cfg = dict()
