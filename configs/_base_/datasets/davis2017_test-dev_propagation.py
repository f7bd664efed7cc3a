# DAVIS-2017 test-dev, 480p, without public ground truth: masks and a zip for the server.
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
        split='test-dev',
        pipeline=[
            dict(type='mmvidmae.LoadVideoFrames', size=(480, 880)),
            dict(type='mmvidmae.PackVideoSequence'),
        ],
    ),
)
test_evaluator = dict(
    type='mmvidmae.VideoSegmentationMetric', out_dir='predictions', format_only=True, submission='davis'
)
test_cfg = dict()
