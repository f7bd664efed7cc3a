# DAVIS-2017 test-dev, 480p, without public ground truth: masks and a zip for the server.
_base_ = './propagation_loaders.py'

test_dataloader = dict(
    dataset=dict(type='mmvidmae.DAVISDataset', data_root='data/DAVIS', year='2017', split='test-dev')
)
test_evaluator = dict(type='mmvidmae.VideoSegmentationMetric', format_only=True, submission='davis')
