# VOT2018: the tracker is started again after each failure; EAO, accuracy and robustness.
_base_ = './sot_loaders.py'

test_dataloader = dict(
    dataset=dict(
        type='VOTDataset',
        data_root='data/',
        ann_file='VOT2018/annotations/vot2018_infos.txt',
        data_prefix=dict(img_path='VOT2018'),
    )
)
test_evaluator = dict(type='mmvidmae.VOTMetric')
