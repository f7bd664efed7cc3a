# YouTube-VOS valid, without public ground truth: masks and a zip for the server. data/YouTubeVOS/valid/{JPEGImages,
# Annotations,meta.json}.
test_dataloader = dict(
    batch_size=1,  # an item is a whole video
    num_workers=2,
    persistent_workers=False,
    sampler=dict(type='DefaultSampler', shuffle=False, round_up=False),
    collate_fn=dict(type='pseudo_collate'),
    dataset=dict(
        type='mmvidmae.YouTubeVOSDataset',
        data_root='data/YouTubeVOS',
        split='valid',
        pipeline=[
            dict(type='mmvidmae.LoadVideoFrames', size=(480, 880)),
            dict(type='mmvidmae.PackVideoSequence'),
        ],
    ),
)
test_evaluator = dict(
    type='mmvidmae.VideoSegmentationMetric', out_dir='predictions', format_only=True, submission='youtube_vos'
)
test_cfg = dict()
