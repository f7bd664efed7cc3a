# Pairs of Co-Settle (github.com/yafeng19/Co-Settle at 3a01eb0): 0.15 of the video apart, the start from frame 1 on; two
# frames at random of a video too short for that (util/video/video_utils.py:66-98). One crop and one flip for both.
train_pipeline = [
    dict(type='mmvidmae.SampleFramePairs', gap=(0.15, 0.15), draw_first='gap', first=1, short='independent'),
    dict(type='mmvidmae.LoadFramePairs'),
    dict(type='mmvidmae.PairRandomResizedCrop', size=224, scale=(0.5, 1.0), interpolation='bicubic', shared=True),
    dict(type='mmvidmae.PairRandomFlip', prob=0.5, shared=True),
    dict(type='mmvidmae.PackPairs'),
]
