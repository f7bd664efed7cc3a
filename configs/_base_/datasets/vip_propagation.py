# VIP val: data/VIP/{Images,Annotations/Category_ids,lists/val_videos.txt}. 50 videos, 20 classes.
_base_ = './propagation_loaders.py'

test_dataloader = dict(dataset=dict(type='mmvidmae.VIPDataset', data_root='data/VIP'))
test_evaluator = dict(type='mmvidmae.PartSegmentationMetric')
