# How all data sets of label propagation and video segmentation are tested: an item is a whole video. A data set file
# adds where its videos are (docs/evaluation_data.md).
test_dataloader = dict(
    batch_size=1,
    num_workers=2,
    persistent_workers=False,
    sampler=dict(type='DefaultSampler', shuffle=False, round_up=False),
    collate_fn=dict(type='pseudo_collate'),
)
test_evaluator = dict(out_dir='predictions')  # in the work dir
test_cfg = dict()
