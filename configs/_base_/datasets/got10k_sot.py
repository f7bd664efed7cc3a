# GOT-10k's test set: 180 videos whose boxes the server scores (http://got-10k.aitestunion.com).
_base_ = './sot_loaders.py'

test_dataloader = dict(
    dataset=dict(
        type='GOT10kDataset',
        data_root='data/',
        ann_file='GOT10k/annotations/got10k_test_infos.txt',
        data_prefix=dict(img_path='GOT10k'),
    )
)
test_evaluator = dict(submission='got10k')
