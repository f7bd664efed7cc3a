# LaSOT's test set: 280 videos. Frames in which the target is hidden or out of view have no ground truth, as in
# PyTracking.
_base_ = './sot_loaders.py'

test_dataloader = dict(
    dataset=dict(
        type='LaSOTDataset',
        data_root='data/',
        ann_file='LaSOT_full/annotations/lasot_test_infos.txt',
        data_prefix=dict(img_path='LaSOT_full/LaSOTBenchmark'),
    )
)
test_evaluator = dict(use_visibility=True)
