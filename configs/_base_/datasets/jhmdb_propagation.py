# JHMDB split 1 test: data/JHMDB/{Rename_Images,joint_positions,splits}. 268 videos, 15 joints.
_base_ = './propagation_loaders.py'

test_dataloader = dict(dataset=dict(type='mmvidmae.JHMDBDataset', data_root='data/JHMDB', split=1))
test_evaluator = dict(type='mmvidmae.PoseMetric')
