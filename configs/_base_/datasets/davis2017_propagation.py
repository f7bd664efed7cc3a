# DAVIS-2017 val, 480p: data/DAVIS/{JPEGImages,Annotations}/480p, ImageSets/2017/val.txt. 30 sequences, 61 objects.
_base_ = './propagation_loaders.py'

test_dataloader = dict(dataset=dict(type='mmvidmae.DAVISDataset', data_root='data/DAVIS', year='2017', split='val'))
test_evaluator = dict(type='mmvidmae.VideoSegmentationMetric')
