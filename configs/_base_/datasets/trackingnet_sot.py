# TrackingNet's test set: 511 videos whose boxes the server scores (https://eval.ai/web/challenges/challenge-page/1805).
_base_ = './sot_loaders.py'

test_dataloader = dict(
    dataset=dict(
        type='TrackingNetDataset',
        data_root='data/',
        ann_file='TrackingNet/annotations/trackingnet_test_infos.txt',
        data_prefix=dict(img_path='TrackingNet'),
    )
)
test_evaluator = dict(submission='trackingnet')
