# How all tracking data sets are tested: videos whole and in order, frame by frame. A data set file adds where its
# videos are, in the layout of mmtrack (docs/tracking_data.md).
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadTrackAnnotations'),
    dict(type='PackTrackInputs', pack_single_img=True),
]
test_dataloader = dict(
    batch_size=1,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type='VideoSampler'),
    dataset=dict(test_mode=True, pipeline=test_pipeline),
)
test_evaluator = dict(type='mmvidmae.TrackingMetric', out_dir='predictions')  # in the work dir
test_cfg = dict(type='TestLoop')
