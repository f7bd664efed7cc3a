# YouTube-VOS valid, without public ground truth: masks and a zip for the server. data/YouTubeVOS/valid/{JPEGImages,
# Annotations,meta.json}.
_base_ = './propagation_loaders.py'

test_dataloader = dict(dataset=dict(type='mmvidmae.YouTubeVOSDataset', data_root='data/YouTubeVOS', split='valid'))
test_evaluator = dict(type='mmvidmae.VideoSegmentationMetric', format_only=True, submission='youtube_vos')
