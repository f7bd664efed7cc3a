# JHMDB split 1 test: data/JHMDB/{Rename_Images,joint_positions,splits}. 268 videos, 15 joints.
test_dataloader = dict(
    batch_size=1,  # an item is a whole video
    num_workers=2,
    persistent_workers=False,
    sampler=dict(type='DefaultSampler', shuffle=False, round_up=False),
    collate_fn=dict(type='pseudo_collate'),
    dataset=dict(
        type='mmvidmae.JHMDBDataset',
        data_root='data/JHMDB',
        split=1,
        pipeline=[
            dict(type='mmvidmae.LoadVideoFrames', size=(320, 320)),
            dict(type='mmvidmae.PackVideoSequence'),
        ],
    ),
)
test_evaluator = dict(type='mmvidmae.PoseMetric', out_dir='predictions')
test_cfg = dict()
