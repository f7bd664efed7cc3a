# DAVIS-2016 val, 480p, one object a sequence: data/DAVIS/{JPEGImages,Annotations}/480p, ImageSets/2016/val.txt.
_base_ = './propagation_loaders.py'

test_dataloader = dict(dataset=dict(type='mmvidmae.DAVISDataset', data_root='data/DAVIS', year='2016', split='val'))
test_evaluator = dict(type='mmvidmae.VideoSegmentationMetric', merge_objects=True)
