# LasHeR (arXiv:2104.13202) as distributed: <sequence>/{visible,infrared}/ and the shared boxes in init.txt. Lists of
# names, one per line: train.txt (979 sequences, of which BAT trains on 882) and test.txt (245).
_base_ = './sot_loaders.py'

lasher = dict(type='mmvidmae.LasHeRDataset', data_root='data/LasHeR/')
train_dataloader = dict(
    batch_size=32,
    num_workers=10,
    persistent_workers=True,
    sampler=dict(type='mmvidmae.PairSampler', samples_per_epoch=60000),
    dataset=dict(lasher, ann_file='data/LasHeR/train.txt'),
)
test_pipeline = [
    dict(type='mmvidmae.LoadPicturePair', second='infrared'),
    dict(type='LoadTrackAnnotations'),
    dict(type='PackTrackInputs', pack_single_img=True),
]
test_dataloader = dict(dataset=dict(lasher, ann_file='data/LasHeR/test.txt', pipeline=test_pipeline))
test_evaluator = dict(protocol='lasher')
