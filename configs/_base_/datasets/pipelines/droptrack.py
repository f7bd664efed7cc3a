# Pairs of a template (192 px) and a search region (384 px) of DropTrack (github.com/jimmy-dq/DropTrack at 4364304:
# base_functions.py:88-93, processing.py:69-123). Types without a prefix are mmtrack's.
train_pipeline = [
    dict(type='mmvidmae.CausalPairSampling', max_gap=200),
    dict(type='mmvidmae.LoadPicture', skip_unreadable=True),
    dict(
        type='TransformBroadcaster',
        share_random_params=True,
        transforms=[
            dict(type='LoadTrackAnnotations'),
            dict(type='GrayAug', prob=0.05),
            dict(type='mmdet.RandomFlip', prob=0.5, direction='horizontal'),
        ],
    ),
    dict(
        type='mmvidmae.OSTrackCrop',
        factors=(2.0, 5.0),
        sizes=(192, 384),
        center_jitter=(0.0, 4.5),
        scale_jitter=(0.0, 0.5),
        brightness=0.2,
        flip_prob=0.5,
    ),
    dict(type='PackTrackInputs', ref_prefix='search', num_template_frames=1),
]
